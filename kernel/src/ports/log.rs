//! The event log: at least once, in order a room. Commit a delivery only after its effect is stored.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Record, RoomEvent, Topic};
use crate::words::{RoomId, Timestamp};

#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends records; they are kept once this returns. Publishing again is allowed: consumers know the id.
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError>;

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError>;

    /// Every event of the room that the log has, from its first on, in the order of `seq`; what was told
    /// twice counts once. What is published while it reads may be missing.
    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError>;

    /// Puts what `group` could not handle to the dead letters. It is kept there once this returns, and may
    /// be there twice when it was called twice.
    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError>;
}

#[derive(Debug, Clone)]
pub struct Subscription {
    /// Consumers of one group share the work; each group hears everything.
    pub group: String,
    pub topics: Vec<Topic>,
    pub start: StartAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// Behind what the group committed; at the beginning of the log when it never did.
    Committed,
    /// Only what comes from now on; nothing is committed.
    Tail,
}

#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next records, at most `limit`; at least one. Cancel-safe.
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, LogError>;

    /// Everything this consumer handed out up to `delivery` is done and need not come again.
    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError>;
}

#[derive(Debug, Clone)]
pub struct Delivery {
    pub record: Arc<Record>,
    /// Where it stands in the log; grows within a room and topic.
    pub place: Place,
    /// Never falls from one delivery of a consumer to the next, unless something is delivered again.
    pub offset: u64,
}

/// Where a record stands in its topic, for operators to find it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// 0 in a log of one piece.
    pub partition: u32,
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached now; try again.
    #[error("the event log does not answer: {0}")]
    Unavailable(String),
}

/// What could not be handled, kept for the operator to look at and put back.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The newest first, at most `limit`.
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, LogError>;

    async fn show(&self, id: &str) -> Result<Option<DeadLetter>, LogError>;

    /// Publishes what was set aside once more, as it was: every group hears it again, and those who handled
    /// it know its id. The letter stays, marked as replayed.
    async fn replay(&self, id: &str) -> Result<Replay, LogError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it in `show` and `replay`; means nothing else.
    pub id: String,
    pub topic: Topic,
    /// Who could not handle it.
    pub group: String,
    /// Its place in the topic.
    pub stood_at: String,
    /// Absent when the letter does not tell it in a way that can be read; `event_id` too.
    pub room: Option<RoomId>,
    pub event_id: Option<String>,
    pub error: String,
    /// How often it was tried; 0 when it could not even be read.
    pub attempts: u32,
    /// When it was set aside.
    pub at: Timestamp,
    /// What was in it, as text.
    pub value: String,
    pub replayed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    PutBack,
    /// It was put back before.
    Already,
    Unknown,
}
