//! How a node knows that its copy of a room is not older than the store was when somebody asked: one look at
//! the store's version serves all who came before it began. However many ask, the store is looked at no more
//! than once at a time, and rests between two looks.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kernel::ports::{RoomStore, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::Mirror;

/// From the beginning of a look to that of the next: a store is asked no oftener, however great the crowd.
const SPACING: Duration = Duration::from_millis(2);

/// How a mirror stands to what the store was when the question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The mirror knows all that the store knew then, and perhaps more.
    Reached,
    /// It does not, and did not catch up in time: only the store can tell.
    Behind,
}

/// The looks at one room's store.
#[derive(Default)]
pub(super) struct Looks(Mutex<Turns>);

#[derive(Default)]
struct Turns {
    /// Somebody looks, or rests after it, and begins with `next` then.
    taken: bool,
    /// What all who come now wait for.
    next: Option<Arc<Look>>,
    /// A version that the mirror has not reached yet, and since when that was known.
    missed: Option<(u64, Instant)>,
}

/// One look, which begins after everybody who waits for it has come.
#[derive(Default)]
struct Look {
    answer: OnceLock<Result<u64, StoreError>>,
    told: Notify,
}

impl Look {
    async fn heard(&self) -> Result<u64, StoreError> {
        // Before the answer is looked at: what is told from here on is heard.
        let told = self.told.notified();
        if self.answer.get().is_none() {
            told.await;
        }
        self.answer.get().cloned().unwrap_or_else(broken_off)
    }

    /// The first answer counts.
    fn tell(&self, answer: Result<u64, StoreError>) {
        let _ = self.answer.set(answer);
        self.told.notify_waiters();
    }
}

impl Mirror {
    /// Waits until this copy knows at least what the store knew when this was called; at most until it has
    /// stood still for `patience`, counted from when that was first noticed by anybody. `store` is the one
    /// that the copy is of.
    ///
    /// # Errors
    /// The store does not answer, or does not know the room.
    pub async fn level(
        self: &Arc<Self>,
        store: &Arc<dyn RoomStore>,
        patience: Duration,
    ) -> Result<Level, StoreError> {
        let version = match store.version_at_hand(self.room()) {
            Some(version) => version,
            None => self.next_look(store).heard().await?,
        };
        if self.version() >= version {
            return Ok(Level::Reached);
        }
        let left = patience.saturating_sub(self.standing_still());
        match timeout(left, self.reached(version)).await {
            Ok(()) => Ok(Level::Reached),
            Err(_) => Ok(Level::Behind),
        }
    }

    /// The next look that has not begun; the first to come has it begin.
    fn next_look(self: &Arc<Self>, store: &Arc<dyn RoomStore>) -> Arc<Look> {
        let mut turns = self.turns();
        let look = turns.next.get_or_insert_default().clone();
        if !std::mem::replace(&mut turns.taken, true) {
            // In a task of its own: whoever goes away meanwhile takes nothing from the others.
            tokio::spawn(Looker { mirror: self.clone(), look: None }.work(store.clone()));
        }
        look
    }

    /// For how long it is known that the mirror misses something; nothing while it moves on.
    fn standing_still(&self) -> Duration {
        self.turns().missed.map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    fn note_missed(&self, version: u64) {
        let (mut turns, here) = (self.turns(), self.version());
        if turns.missed.is_none_or(|(missed, _)| missed <= here) {
            turns.missed = (version > here).then(|| (version, Instant::now()));
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.looks.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks as long as somebody waits for it.
struct Looker {
    mirror: Arc<Mirror>,
    look: Option<Arc<Look>>,
}

impl Looker {
    async fn work(mut self, store: Arc<dyn RoomStore>) {
        while let Some(look) = self.begin() {
            let next = Instant::now() + SPACING;
            let answer = store.summary(self.mirror.room()).await.map(|summary| summary.version);
            metrics::counter!("turnline_store_looks_total").increment(1);
            if let Ok(version) = answer {
                self.mirror.note_missed(version);
            }
            look.tell(answer);
            sleep_until(next).await;
        }
    }

    fn begin(&mut self) -> Option<Arc<Look>> {
        let mut turns = self.mirror.turns();
        self.look = turns.next.take();
        turns.taken = self.look.is_some();
        self.look.clone()
    }
}

/// A looker that ends with a look begun was cut off: by a fault of ours, or with the runtime.
impl Drop for Looker {
    fn drop(&mut self) {
        let Some(begun) = self.look.take() else { return };
        let next = {
            let mut turns = self.mirror.turns();
            turns.taken = false;
            turns.next.take()
        };
        [Some(begun), next].into_iter().flatten().for_each(|look| look.tell(broken_off()));
    }
}

fn broken_off() -> Result<u64, StoreError> {
    Err(StoreError::Unavailable("the look at the store broke off".to_owned()))
}
