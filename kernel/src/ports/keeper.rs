//! Stores that keep rooms as the kernel's own [`Room`]: how a verb works on a room is written here once,
//! a store only says how a room is held and how what it recorded is kept.

use std::future::Future;

use async_trait::async_trait;

use crate::control::Control;
use crate::event::v1::Drawn;
use crate::policy::Policy;
use crate::ports::{JoinAnswer, Rebuilt, RoomStore, Seen, StoreError};
use crate::room::{
    Call, Called, Join, Joined, Returning, Room, RoomCounts, RoomState, Standing, Summary, Swapped,
};
use crate::session::{Next, Session};
use crate::words::{EndReason, Number, Ranges, RoomId, Timestamp};

pub trait RoomKeeper: Send + Sync {
    /// Lets `act` work on the room and keeps the events it recorded, in one atomic step; answers once they
    /// are kept. `act` may run again when another process was faster: each time on the room as it is then.
    fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;

    /// Lets `act` work on the room, or keeps the one that `make` makes when there is none.
    fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        make: impl FnMut() -> Room + Send + 'static,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`RoomStore::version_at_hand`].
    fn version_at_hand(&self, _room: &RoomId) -> Option<u64> {
        None
    }

    /// As [`RoomStore::rebuild`].
    fn remake(
        &self,
        room: &RoomId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Rebuilt, StoreError>> + Send;
}

#[async_trait]
impl<K: RoomKeeper> RoomStore for K {
    async fn configure(
        &self,
        room: &RoomId,
        policy: &Policy,
        lottery_commitment: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (name, wanted, made) = (room.clone(), policy.clone(), policy.clone());
        let make = move || Room::new(name.clone(), made.clone(), lottery_commitment.clone(), now);
        self.act_or_make(room, move |room| room.configure(&wanted, now), make).await
    }

    async fn control(
        &self,
        room: &RoomId,
        from: Control,
        to: Control,
        drawn: Option<Drawn>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.act(room, move |room| room.control(from, to, drawn.clone(), now)).await
    }

    async fn notice(&self, room: &RoomId, notice: Option<String>, now: Timestamp) -> Result<(), StoreError> {
        self.act(room, move |room| room.notice(notice.clone(), now)).await
    }

    async fn join(
        &self,
        room: &RoomId,
        batch: Vec<Join>,
        now: Timestamp,
    ) -> Result<Vec<JoinAnswer>, StoreError> {
        self.act(room, move |room| {
            let joined = room.join(&batch, now);
            let summary = room.state().summary();
            let answer = |joined| JoinAnswer {
                joined,
                seen: Seen { standing: standing_of(room, joined), room: summary.clone() },
            };
            joined.into_iter().map(answer).collect()
        })
        .await
    }

    async fn seen(&self, room: &RoomId, number: Number) -> Result<Seen, StoreError> {
        self.act(room, move |room| seen(room, number)).await
    }

    async fn summary(&self, room: &RoomId) -> Result<Summary, StoreError> {
        self.act(room, |room| room.state().summary()).await
    }

    fn version_at_hand(&self, room: &RoomId) -> Option<u64> {
        RoomKeeper::version_at_hand(self, room)
    }

    async fn counts(&self, room: &RoomId) -> Result<RoomCounts, StoreError> {
        self.act(room, |room| room.state().room_counts()).await
    }

    async fn depart(
        &self,
        room: &RoomId,
        numbers: Ranges,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Ranges, StoreError> {
        self.act(room, move |room| room.depart(&numbers, reason, now)).await
    }

    async fn call_next(&self, room: &RoomId, call: Call, now: Timestamp) -> Result<Called, StoreError> {
        self.act(room, move |room| room.call_next(&call, now)).await
    }

    async fn swap_session(
        &self,
        room: &RoomId,
        number: Number,
        from: Session,
        to: Next,
        now: Timestamp,
    ) -> Result<Swapped, StoreError> {
        self.act(room, move |room| room.swap_session(number, from, to, now)).await
    }

    async fn due(
        &self,
        room: &RoomId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Number, Session)>, StoreError> {
        self.act(room, move |room| room.due(now, limit)).await
    }

    async fn progress(&self, room: &RoomId, rate: u64, now: Timestamp) -> Result<bool, StoreError> {
        self.act(room, move |room| room.progress(rate, now)).await
    }

    async fn reinstate(
        &self,
        room: &RoomId,
        returning: Returning,
        now: Timestamp,
    ) -> Result<Seen, StoreError> {
        self.act(room, move |room| {
            room.reinstate(returning, now);
            seen(room, returning.number)
        })
        .await
    }

    async fn rebuild(&self, room: &RoomId, now: Timestamp) -> Result<Rebuilt, StoreError> {
        self.remake(room, now).await
    }

    async fn snapshot(&self, room: &RoomId) -> Result<RoomState, StoreError> {
        self.act(room, |room| room.state().clone()).await
    }
}

fn seen(room: &Room, number: Number) -> Seen {
    Seen { standing: room.standing(number), room: room.state().summary() }
}

fn standing_of(room: &Room, joined: Joined) -> Standing {
    match joined {
        Joined::New(number) | Joined::Held(number) => room.standing(number),
        Joined::Closed | Joined::Full | Joined::Revoked | Joined::Conflict => Standing::Unknown,
    }
}
