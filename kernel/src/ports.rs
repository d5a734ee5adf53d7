//! What the services ask of the world: domain verbs with outcome enums. A store holds no rule; it checks
//! the guard it was given and says "already so" or "lost the race" as a result, not as an error.

mod keeper;
mod log;
pub mod reservations;
mod rooms;

use roaring::RoaringTreemap;

use crate::words::{RoomId, Timestamp};
pub use keeper::RoomKeeper;
pub use log::{
    Consumer, DeadLetter, DeadLetters, Delivery, EventLog, LogError, Place, Replay, StartAt, Subscription,
};
pub use reservations::ReservationStore;
pub use rooms::{JoinAnswer, Rebuilt, Registry, RoomRecord, RoomStore, Seen, StoreError};

/// The time, for the edges; the core takes it as an argument.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Randomness, for the edges: 32 bytes that nobody can guess.
pub trait Entropy: Send + Sync {
    fn bytes(&self) -> [u8; 32];
}

/// Work that one of several replicas does at a time. A holder that falls silent loses it by itself.
#[async_trait::async_trait]
pub trait Leases: Send + Sync {
    /// Whether `holder` has `what` for the next `seconds`: it had it, or nobody did.
    async fn hold(&self, what: &str, holder: &str, seconds: u64) -> Result<bool, StoreError>;

    /// Gives `what` back, if `holder` has it.
    async fn release(&self, what: &str, holder: &str) -> Result<(), StoreError>;
}

/// What a node sees visitors by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lookout {
    /// Open channels.
    Channels,
    /// Questions for a ticket's status.
    Polls,
}

impl Lookout {
    pub const ALL: [Self; 2] = [Self::Channels, Self::Polls];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Polls => "polls",
        }
    }
}

/// Who is there, node by node, under leases: what a node that fell silent said runs out by itself.
#[async_trait::async_trait]
pub trait Presence: Send + Sync {
    /// Replaces what `node` said of `room`; valid for `lease_seconds` from `now`.
    async fn report(
        &self,
        node: &str,
        room: &RoomId,
        present: RoaringTreemap,
        lease_seconds: u64,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Everyone whom a node with a living lease has seen.
    async fn present(&self, room: &RoomId, now: Timestamp) -> Result<RoaringTreemap, StoreError>;

    /// Somebody looks out, for the next `lease_seconds` from `now`: whoever is there would be seen.
    async fn look_out(&self, by: Lookout, lease_seconds: u64, now: Timestamp) -> Result<(), StoreError>;

    /// Whether somebody looks out by each [`Lookout`]. While nobody does, nobody can be told to be away.
    async fn looked_out(&self, now: Timestamp) -> Result<bool, StoreError>;
}
