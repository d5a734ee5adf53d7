//! A log that cannot be written to for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use backend::embedded::Embedded;
use kernel::event::{Record, RoomEvent};
use kernel::ports::{Consumer, Delivery, EventLog, LogError, Subscription};
use kernel::words::RoomId;

pub struct Gated {
    log: Embedded,
    closed: AtomicBool,
    refused: AtomicU64,
}

impl Gated {
    pub fn new(log: Embedded) -> Self {
        Self { log, closed: AtomicBool::new(false), refused: AtomicU64::new(0) }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// How often it was asked to publish in vain.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl EventLog for Gated {
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        if self.closed.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(LogError::Unavailable("as the test wished".to_owned()));
        }
        self.log.publish(records).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        self.log.subscribe(subscription).await
    }

    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
        self.log.history(room).await
    }

    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        self.log.set_aside(group, delivery, error, attempts).await
    }
}
