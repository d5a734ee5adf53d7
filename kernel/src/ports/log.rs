//! The event log: at least once, in order a room. Commit a delivery only after its effect is stored.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Record, Topic};

#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends records; they are kept once this returns. Publishing again is allowed: consumers know the id.
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError>;

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError>;
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

    /// Everything up to `delivery` is done and need not come again.
    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError>;
}

#[derive(Debug, Clone)]
pub struct Delivery {
    pub record: Arc<Record>,
    pub offset: u64,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached now; try again.
    #[error("the event log does not answer: {0}")]
    Unavailable(String),
}
