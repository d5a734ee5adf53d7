//! A store that fails where a test tells it to, over one that works: for those who have to bear it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::control::Control;
use crate::event::v1::Drawn;
use crate::policy::Policy;
use crate::ports::{JoinAnswer, Rebuilt, RoomStore, Seen, StoreError};
use crate::room::{Call, Called, Join, Returning, RoomCounts, RoomState, Summary, Swapped};
use crate::session::{Next, Session};
use crate::words::{EndReason, Number, Ranges, RoomId, Timestamp};

/// What becomes of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// It fails before anything was done.
    Refused,
    /// It is done, and yet it fails: who asked cannot know.
    Unheard,
}

pub struct Faulty {
    store: Arc<dyn RoomStore>,
    fates: Mutex<VecDeque<Fate>>,
    failed: AtomicU64,
}

impl Faulty {
    pub fn over(store: Arc<dyn RoomStore>) -> Arc<Self> {
        Arc::new(Self { store, fates: Mutex::default(), failed: AtomicU64::new(0) })
    }

    /// Says what becomes of the verbs that come next, after those of whom it was said before; then all is well.
    pub fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).extend(fates);
    }

    /// How many verbs have failed so far.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    async fn meet<T>(
        &self,
        verb: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fate = self.fates.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fate.unwrap_or(Fate::Answered) {
            Fate::Answered => return verb.await,
            Fate::Refused => {}
            Fate::Unheard => drop(verb.await?),
        }
        self.failed.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::Unavailable("as the test wished".to_owned()))
    }
}

#[async_trait]
impl RoomStore for Faulty {
    async fn configure(
        &self,
        room: &RoomId,
        policy: &Policy,
        lottery_commitment: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.meet(self.store.configure(room, policy, lottery_commitment, now)).await
    }

    async fn control(
        &self,
        room: &RoomId,
        from: Control,
        to: Control,
        drawn: Option<Drawn>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.meet(self.store.control(room, from, to, drawn, now)).await
    }

    async fn notice(&self, room: &RoomId, notice: Option<String>, now: Timestamp) -> Result<(), StoreError> {
        self.meet(self.store.notice(room, notice, now)).await
    }

    async fn join(
        &self,
        room: &RoomId,
        batch: Vec<Join>,
        now: Timestamp,
    ) -> Result<Vec<JoinAnswer>, StoreError> {
        self.meet(self.store.join(room, batch, now)).await
    }

    async fn seen(&self, room: &RoomId, number: Number) -> Result<Seen, StoreError> {
        self.meet(self.store.seen(room, number)).await
    }

    async fn summary(&self, room: &RoomId) -> Result<Summary, StoreError> {
        self.meet(self.store.summary(room)).await
    }

    async fn counts(&self, room: &RoomId) -> Result<RoomCounts, StoreError> {
        self.meet(self.store.counts(room)).await
    }

    async fn depart(
        &self,
        room: &RoomId,
        numbers: Ranges,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Ranges, StoreError> {
        self.meet(self.store.depart(room, numbers, reason, now)).await
    }

    async fn call_next(&self, room: &RoomId, call: Call, now: Timestamp) -> Result<Called, StoreError> {
        self.meet(self.store.call_next(room, call, now)).await
    }

    async fn swap_session(
        &self,
        room: &RoomId,
        number: Number,
        from: Session,
        to: Next,
        now: Timestamp,
    ) -> Result<Swapped, StoreError> {
        self.meet(self.store.swap_session(room, number, from, to, now)).await
    }

    async fn due(
        &self,
        room: &RoomId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Number, Session)>, StoreError> {
        self.meet(self.store.due(room, now, limit)).await
    }

    async fn progress(&self, room: &RoomId, rate: u64, now: Timestamp) -> Result<bool, StoreError> {
        self.meet(self.store.progress(room, rate, now)).await
    }

    async fn reinstate(
        &self,
        room: &RoomId,
        returning: Returning,
        now: Timestamp,
    ) -> Result<Seen, StoreError> {
        self.meet(self.store.reinstate(room, returning, now)).await
    }

    async fn rebuild(&self, room: &RoomId, now: Timestamp) -> Result<Rebuilt, StoreError> {
        self.meet(self.store.rebuild(room, now)).await
    }

    async fn snapshot(&self, room: &RoomId) -> Result<RoomState, StoreError> {
        self.meet(self.store.snapshot(room)).await
    }
}
