//! Messages out: handed over in their order, and done when every one is acknowledged.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kernel::ports::LogError;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::client::Plain;
use super::envelope::Outgoing;
use super::unavailable;

/// How long to wait for space in the client's queue, and how often to look.
const SPACE_PATIENCE: Duration = Duration::from_secs(30);
const SPACE_PAUSE: Duration = Duration::from_millis(5);

type Native = FutureProducer<Plain>;

pub(super) struct Producer {
    config: ClientConfig,
    /// None only while it ends.
    current: Mutex<Option<Native>>,
}

impl Producer {
    pub fn new(config: ClientConfig) -> KafkaResult<Self> {
        let current = Mutex::new(Some(make(&config)?));
        Ok(Self { config, current })
    }

    pub fn current(&self) -> Result<Native, LogError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        current.ok_or_else(|| unavailable("it has been closed"))
    }

    /// Sends all, and waits until all are acknowledged.
    pub async fn send(&self, messages: Vec<Outgoing>) -> Result<(), LogError> {
        let producer = self.current()?;
        let began = Instant::now();
        let sent = send_by(&producer, messages).await;
        metrics::histogram!("turnline_log_publish_seconds").record(began.elapsed().as_secs_f64());
        if sent.is_err() {
            self.replace_if_dead(&producer);
        }
        sent
    }

    /// An idempotent producer that lost track of what it sent is of no more use: the next one starts afresh.
    fn replace_if_dead(&self, producer: &Native) {
        let Some((code, reason)) = producer.client().fatal_error() else { return };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Another publisher may have been quicker.
        if current.as_ref().is_none_or(|current| current.client().fatal_error().is_none()) {
            return;
        }
        match make(&self.config) {
            Ok(fresh) => {
                tracing::error!(%code, reason, "the producer of events broke; a new one takes its place");
                let broken = current.replace(fresh);
                drop(current);
                super::aside(move || drop(broken));
            }
            Err(error) => {
                tracing::error!(%error, %code, reason, "the producer of events broke, and no new one could be made")
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let current = self.current.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle of a producer waits for its thread to end.
        super::aside(move || drop(current));
    }
}

fn make(config: &ClientConfig) -> KafkaResult<Native> {
    config.create_with_context(Plain::default())
}

async fn send_by(producer: &Native, messages: Vec<Outgoing>) -> Result<(), LogError> {
    let mut underway = Vec::with_capacity(messages.len());
    for message in &messages {
        underway.push(hand_over(producer, message).await?);
    }
    let mut failed = None;
    for delivery in underway {
        let outcome = match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(unavailable(error)),
            Err(_) => Err(unavailable("it has been closed")),
        };
        failed = failed.or(outcome.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Waits while the client's queue is full.
async fn hand_over(
    producer: &Native,
    message: &Outgoing,
) -> Result<rdkafka::producer::DeliveryFuture, LogError> {
    let began = Instant::now();
    let mut record = FutureRecord::<[u8], [u8]>::to(&message.topic).headers(message.headers.clone());
    record.key = message.key.as_deref();
    record.payload = message.value.as_deref();
    record.timestamp = message.at;
    loop {
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                if began.elapsed() > SPACE_PATIENCE {
                    return Err(unavailable("what is to be published finds no space in the queue"));
                }
                record = back;
                // sleep: the queue empties as the broker acknowledges, and nobody tells when it has
                tokio::time::sleep(SPACE_PAUSE).await;
            }
            Err((error, _)) => return Err(unavailable(error)),
        }
    }
}
