//! Up to which number a room may give them, as this process knows. It is raised ahead of time, in the
//! background, so that joins hardly ever wait for the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::words::{Number, RoomId};
use tokio::sync::watch;

use super::parts::Parts;

/// Numbers reserved beyond the last one given.
const AHEAD: Number = 10_000;
/// With fewer left than this, more are reserved.
const LOW: Number = AHEAD / 2;
/// Pause before a database that failed is asked again.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Ceiling {
    shared: Arc<Shared>,
    heard: watch::Receiver<Number>,
}

struct Shared {
    holds: watch::Sender<Number>,
    asking: AtomicBool,
}

impl Ceiling {
    /// Nothing is known yet, so nothing may be given.
    pub fn unknown() -> Self {
        let (holds, heard) = watch::channel(0);
        Self { shared: Arc::new(Shared { holds, asking: AtomicBool::new(false) }), heard }
    }

    pub fn covers(&self, issued: Number) -> bool {
        issued <= *self.shared.holds.borrow()
    }

    /// Sees to it that there will be numbers beyond `issued`, if few are left.
    pub fn keep_ahead(&self, parts: &Arc<Parts>, room: &RoomId, issued: Number) {
        if self.covers(issued + LOW) || self.shared.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (shared, parts, room) = (self.shared.clone(), parts.clone(), room.clone());
        tokio::spawn(async move {
            let reserved = parts.ceilings.reserve(&room, issued + AHEAD).await;
            if let Err(error) = &reserved {
                tracing::warn!(%room, %error, "numbers cannot be reserved in the database; joins wait for it");
                tokio::time::sleep(PAUSE).await;
            }
            shared.asking.store(false, Ordering::Release);
            // A failure is told too: who waits asks again.
            shared.holds.send_modify(|holds| *holds = (*holds).max(reserved.unwrap_or(0)));
        });
    }

    /// Waits for the next answer of the database. Cancel-safe.
    pub async fn answered(&mut self) {
        // The sender lives as long as `self`.
        let _ = self.heard.changed().await;
    }
}
