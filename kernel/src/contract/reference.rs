//! The store that keeps nothing: rooms in memory. The measure of every other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::control::Control;
use crate::event::RoomEvent;
use crate::event::v1::Drawn;
use crate::policy::Policy;
use crate::ports::{JoinAnswer, RoomStore, Seen, StoreError};
use crate::room::{Call, Called, Join, Joined, Room, RoomCounts, RoomState, Standing, Summary, Swapped};
use crate::session::{Next, Session};
use crate::words::{EndReason, Number, Ranges, RoomId, Timestamp};

/// Hears what a verb recorded, in order.
pub type Outbox = Box<dyn Fn(Vec<RoomEvent>) + Send + Sync>;

pub struct Reference {
    rooms: Mutex<HashMap<RoomId, Room>>,
    outbox: Outbox,
}

impl Reference {
    pub fn new(outbox: Outbox) -> Arc<Self> {
        Arc::new(Self { rooms: Mutex::default(), outbox })
    }

    fn act<T>(&self, room: &RoomId, act: impl FnOnce(&mut Room) -> T) -> Result<T, StoreError> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let held = rooms.get_mut(room).ok_or(StoreError::UnknownRoom)?;
        let answer = act(held);
        (self.outbox)(held.take_events());
        Ok(answer)
    }
}

#[async_trait]
impl RoomStore for Reference {
    async fn configure(
        &self,
        room: &RoomId,
        policy: &Policy,
        lottery_commitment: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let held = rooms
            .entry(room.clone())
            .and_modify(|held| held.configure(policy, now))
            .or_insert_with(|| Room::new(room.clone(), policy.clone(), lottery_commitment, now));
        (self.outbox)(held.take_events());
        Ok(())
    }

    async fn control(
        &self,
        room: &RoomId,
        from: Control,
        to: Control,
        drawn: Option<Drawn>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.act(room, |room| room.control(from, to, drawn, now))
    }

    async fn notice(&self, room: &RoomId, notice: Option<String>, now: Timestamp) -> Result<(), StoreError> {
        self.act(room, |room| room.notice(notice, now))
    }

    async fn join(
        &self,
        room: &RoomId,
        batch: Vec<Join>,
        now: Timestamp,
    ) -> Result<Vec<JoinAnswer>, StoreError> {
        self.act(room, |room| {
            let joined = room.join(&batch, now);
            let answer = |joined| {
                let standing = match joined {
                    Joined::New(number) | Joined::Held(number) => room.standing(number),
                    Joined::Closed | Joined::Full | Joined::Revoked | Joined::Conflict => Standing::Unknown,
                };
                JoinAnswer { joined, seen: Seen { standing, room: room.state().summary() } }
            };
            joined.into_iter().map(answer).collect()
        })
    }

    async fn seen(&self, room: &RoomId, number: Number) -> Result<Seen, StoreError> {
        self.act(room, |room| Seen { standing: room.standing(number), room: room.state().summary() })
    }

    async fn summary(&self, room: &RoomId) -> Result<Summary, StoreError> {
        self.act(room, |room| room.state().summary())
    }

    async fn counts(&self, room: &RoomId) -> Result<RoomCounts, StoreError> {
        self.act(room, |room| room.state().room_counts())
    }

    async fn depart(
        &self,
        room: &RoomId,
        numbers: Ranges,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Ranges, StoreError> {
        self.act(room, |room| room.depart(&numbers, reason, now))
    }

    async fn call_next(&self, room: &RoomId, call: Call, now: Timestamp) -> Result<Called, StoreError> {
        self.act(room, |room| room.call_next(&call, now))
    }

    async fn swap_session(
        &self,
        room: &RoomId,
        number: Number,
        from: Session,
        to: Next,
        now: Timestamp,
    ) -> Result<Swapped, StoreError> {
        self.act(room, |room| room.swap_session(number, from, to, now))
    }

    async fn due(
        &self,
        room: &RoomId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Number, Session)>, StoreError> {
        self.act(room, |room| room.due(now, limit))
    }

    async fn progress(&self, room: &RoomId, rate: u64, now: Timestamp) -> Result<bool, StoreError> {
        self.act(room, |room| room.progress(rate, now))
    }

    async fn snapshot(&self, room: &RoomId) -> Result<RoomState, StoreError> {
        self.act(room, |room| room.state().clone())
    }
}
