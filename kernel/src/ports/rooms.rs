//! Where rooms live: their running state (store) and what is known of them for ever (registry).

use async_trait::async_trait;

use crate::control::Control;
use crate::event::v1::Drawn;
use crate::policy::Policy;
use crate::room::{Call, Called, Join, Joined, Returning, RoomCounts, RoomState, Standing, Summary, Swapped};
use crate::session::{Next, Session};
use crate::ticket::RoomBirth;
use crate::words::{EndReason, Number, Ranges, RoomId, Timestamp};

/// Every verb is one atomic step that changes the room and appends its events to the room's outbox.
/// What a verb answered survives a crash.
#[async_trait]
pub trait RoomStore: Send + Sync {
    /// Makes the room or puts the policy in force; nothing happens when it already is.
    async fn configure(
        &self,
        room: &RoomId,
        policy: &Policy,
        lottery_commitment: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The control state becomes `to` if it still is `from`; false when it is not, or when `drawn` counts
    /// more arrivals than there are. Who came after it was drawn stands behind those who took part.
    async fn control(
        &self,
        room: &RoomId,
        from: Control,
        to: Control,
        drawn: Option<Drawn>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    async fn notice(&self, room: &RoomId, notice: Option<String>, now: Timestamp) -> Result<(), StoreError>;

    /// One answer a wish, in order.
    async fn join(
        &self,
        room: &RoomId,
        batch: Vec<Join>,
        now: Timestamp,
    ) -> Result<Vec<JoinAnswer>, StoreError>;

    async fn seen(&self, room: &RoomId, number: Number) -> Result<Seen, StoreError>;

    async fn summary(&self, room: &RoomId) -> Result<Summary, StoreError>;

    /// The room's version, where it is at hand without asking anybody: at least that of every answer given so
    /// far, to whomever. `None` tells nothing; [`RoomStore::summary`] does.
    fn version_at_hand(&self, _room: &RoomId) -> Option<u64> {
        None
    }

    /// What admission is decided on.
    async fn counts(&self, room: &RoomId) -> Result<RoomCounts, StoreError>;

    /// Takes those out of the line who still wait; says who they were.
    async fn depart(
        &self,
        room: &RoomId,
        numbers: Ranges,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Ranges, StoreError>;

    /// Calls the next of each lane, in order, unless the room moved on since the decision.
    async fn call_next(&self, room: &RoomId, call: Call, now: Timestamp) -> Result<Called, StoreError>;

    /// Puts a decided session in place of the one it was decided on.
    async fn swap_session(
        &self,
        room: &RoomId,
        number: Number,
        from: Session,
        to: Next,
        now: Timestamp,
    ) -> Result<Swapped, StoreError>;

    /// Sessions due to be looked at, the earliest first.
    async fn due(
        &self,
        room: &RoomId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Number, Session)>, StoreError>;

    /// Appends the tick's progress event, if anything changed; `rate` is visitors an hour.
    async fn progress(&self, room: &RoomId, rate: u64, now: Timestamp) -> Result<bool, StoreError>;

    /// Puts a number back that was given and never told, because the store had lost the room; any other
    /// number stays as it is. Answers where it stands then.
    async fn reinstate(
        &self,
        room: &RoomId,
        returning: Returning,
        now: Timestamp,
    ) -> Result<Seen, StoreError>;

    /// Makes the room anew from all of its events; nothing changes when the store had lost nothing.
    async fn rebuild(&self, room: &RoomId, now: Timestamp) -> Result<Rebuilt, StoreError>;

    /// A copy from which a node follows the room's events.
    async fn snapshot(&self, room: &RoomId) -> Result<RoomState, StoreError>;
}

/// What a room was made anew from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    pub events: u64,
    /// The room's version after it.
    pub through_seq: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinAnswer {
    pub joined: Joined,
    /// Where the number stands; `Unknown` when none was given.
    pub seen: Seen,
}

/// A number's standing and the room around it, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub standing: Standing,
    pub room: Summary,
}

/// What is known of a room for ever.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomRecord {
    pub birth: RoomBirth,
    pub policy: Policy,
    /// HS256 key of the shop's visitor tokens. Never logged, never read back.
    pub visitor_key: Option<String>,
    /// Committed to at creation, published at opening.
    pub lottery_secret: [u8; 32],
}

/// Rooms, their policies and keys: few, read often, changed seldom.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Puts policy and visitor key down. The birth and the lottery secret stay those of whoever saved the
    /// room first, so that nodes making one room at a time agree; answers what is kept.
    async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError>;

    /// The same, but a visitor key that is kept stays as it is, whoever put it down.
    async fn save_policy(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError>;

    async fn load(&self, room: &RoomId) -> Result<Option<RoomRecord>, StoreError>;
    /// All rooms by name.
    async fn all(&self) -> Result<Vec<RoomRecord>, StoreError>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("no such room")]
    UnknownRoom,
    /// Nothing is known of the outcome; every verb may be repeated.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// What the store holds cannot be worked with: the same call fails the same way again.
    #[error("the store holds what it cannot work with: {0}")]
    Broken(String),
}
