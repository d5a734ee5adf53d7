//! What librdkafka tells us of itself: its log, its troubles, its group's partitions, how far behind it is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

/// A log that is away is told this often, not at every attempt to reach it.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Of a producer or an administrator.
#[derive(Default)]
pub(super) struct Plain {
    told: Mutex<Option<Instant>>,
}

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tell(&self.told, &error, reason);
    }
}

/// Of a consumer; remembers which partitions went to others.
pub(super) struct Member {
    group: String,
    told: Mutex<Option<Instant>>,
    revoked: Mutex<Vec<(String, i32)>>,
}

impl Member {
    pub fn new(group: &str) -> Self {
        Self { group: group.to_owned(), told: Mutex::default(), revoked: Mutex::default() }
    }

    /// Partitions that were taken from us since the last call.
    pub fn take_revoked(&self) -> Vec<(String, i32)> {
        std::mem::take(&mut *self.revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tell(&self.told, &error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        // -1 is of a partition that is not ours, or whose end is not known yet.
        let behind: i64 = partitions.map(|partition| partition.consumer_lag.max(0)).sum();
        metrics::gauge!("turnline_log_records_behind", "group" => self.group.clone()).set(behind as f64);
    }
}

impl ConsumerContext for Member {
    // It runs while the group stands still: nothing in it may wait.
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::debug!(
                    group = self.group,
                    count = partitions.count(),
                    "partitions of the log come here"
                );
            }
            Rebalance::Revoke(partitions) => {
                tracing::debug!(
                    group = self.group,
                    count = partitions.count(),
                    "partitions of the log leave here"
                );
                let gone = partitions.elements();
                let gone = gone.iter().map(|element| (element.topic().to_owned(), element.partition()));
                self.revoked.lock().unwrap_or_else(PoisonError::into_inner).extend(gone);
            }
            Rebalance::Error(error) => {
                tracing::warn!(group = self.group, %error, "the partitions of the log could not be shared out");
            }
        }
    }
}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // Every failed attempt to connect is such a line; `tell` says it once in a while.
        _ if matches!(facility, "FAIL" | "ERROR") => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
    }
}

/// librdkafka goes on by itself after all of these.
fn tell(told: &Mutex<Option<Instant>>, error: &KafkaError, reason: &str) {
    let one_of_several = [RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::Resolve];
    if error.rdkafka_error_code().is_some_and(|code| one_of_several.contains(&code)) {
        tracing::debug!(target: "librdkafka", %error, reason, "a broker cannot be reached");
        return;
    }
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
        *told = Some(Instant::now());
        tracing::warn!(%error, reason, "Kafka is in trouble or away; trying on");
    }
}
