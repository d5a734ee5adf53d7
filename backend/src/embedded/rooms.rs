//! The room store's verbs, each one step of the writer over the kernel's own room.

use async_trait::async_trait;
use kernel::control::Control;
use kernel::event::v1::Drawn;
use kernel::policy::Policy;
use kernel::ports::{JoinAnswer, RoomStore, Seen, StoreError};
use kernel::room::{Call, Called, Join, Joined, Room, RoomCounts, RoomState, Standing, Summary, Swapped};
use kernel::session::{Next, Session};
use kernel::words::{EndReason, Number, Ranges, RoomId, Timestamp};

use super::Embedded;

impl Embedded {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnOnce(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = room.clone();
        self.writer.run(move |world| world.act(&room, act)).await?
    }
}

#[async_trait]
impl RoomStore for Embedded {
    async fn configure(
        &self,
        room: &RoomId,
        policy: &Policy,
        lottery_commitment: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (room, policy) = (room.clone(), policy.clone());
        let configure = move |world: &mut super::world::World| {
            if world.rooms.contains_key(&room) {
                world.act(&room, |held| held.configure(&policy, now))
            } else {
                world.insert(&room, Room::new(room.clone(), policy, lottery_commitment, now));
                Ok(())
            }
        };
        self.writer.run(configure).await?
    }

    async fn control(
        &self,
        room: &RoomId,
        from: Control,
        to: Control,
        drawn: Option<Drawn>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.act(room, move |room| room.control(from, to, drawn, now)).await
    }

    async fn notice(&self, room: &RoomId, notice: Option<String>, now: Timestamp) -> Result<(), StoreError> {
        self.act(room, move |room| room.notice(notice, now)).await
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
        self.act(room, move |room| Seen { standing: room.standing(number), room: room.state().summary() })
            .await
    }

    async fn summary(&self, room: &RoomId) -> Result<Summary, StoreError> {
        self.act(room, |room| room.state().summary()).await
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

    async fn snapshot(&self, room: &RoomId) -> Result<RoomState, StoreError> {
        self.act(room, |room| room.state().clone()).await
    }
}

fn standing_of(room: &Room, joined: Joined) -> Standing {
    match joined {
        Joined::New(number) | Joined::Held(number) => room.standing(number),
        Joined::Closed | Joined::Full | Joined::Revoked | Joined::Conflict => Standing::Unknown,
    }
}
