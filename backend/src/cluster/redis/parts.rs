//! What all desks of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use kernel::ports::{Clock, EventLog};
use kernel::words::RoomId;

use super::keys::window;
use super::scripts::Scripts;
use crate::cluster::postgres::Ceilings;

pub(super) struct Parts {
    /// For the desks, whose callers wait.
    pub scripts: Scripts,
    /// For everything else that is small.
    pub aside: Scripts,
    /// For whole rooms, which keep a connection busy for long.
    pub bulk: Scripts,
    pub log: Arc<dyn EventLog>,
    pub ceilings: Arc<dyn Ceilings>,
    pub clock: Arc<dyn Clock>,
    writes: AtomicU64,
    /// The newest event of each room that this process knows of.
    furthest: DashMap<RoomId, Arc<AtomicU64>>,
}

impl Parts {
    pub fn new(
        [scripts, aside, bulk]: [Scripts; 3],
        log: Arc<dyn EventLog>,
        ceilings: Arc<dyn Ceilings>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            scripts,
            aside,
            bulk,
            log,
            ceilings,
            clock,
            writes: AtomicU64::new(0),
            furthest: DashMap::new(),
        }
    }

    /// Unique for ever.
    pub fn next_writer(&self) -> String {
        format!("{}.{}", self.scripts.node, self.writes.fetch_add(1, Ordering::Relaxed))
    }

    pub fn furthest(&self, room: &RoomId) -> Arc<AtomicU64> {
        self.furthest.entry(room.clone()).or_default().clone()
    }

    /// Nobody works on the room here; if there is one, it has been seen.
    pub fn forget(&self, room: &RoomId) {
        self.furthest.remove_if(room, |_, furthest| furthest.load(Ordering::Acquire) == 0);
    }

    pub fn window(&self) -> u64 {
        window(self.clock.now())
    }
}
