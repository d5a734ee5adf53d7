//! What is set on every client, and what topics and groups are called.

use std::time::Duration;

use kernel::event::Topic;
use rdkafka::ClientConfig;

/// How long a record may take to be acknowledged before its publisher hears that the log is away.
const MESSAGE_TIMEOUT_MS: u32 = 30_000;
/// More than Kafka's usual limit (1 MiB), so that whatever got into a topic finds space among its dead
/// letters, with the reasons written on it.
pub(super) const DEAD_LETTER_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// A member that falls silent this long loses its partitions. So long they stand still after a `kill -9`; and a
/// group stands still once more as long after a broker was away for longer, since its members come back as
/// new ones. It is the least that brokers allow as they come.
const SESSION_TIMEOUT_MS: u32 = 6_000;
const HEARTBEAT_MS: u32 = 1_500;

/// Where Kafka is, and how this process appears in it.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT`, several separated by commas.
    pub brokers: String,
    /// Before every topic and group, with a dot; nothing when empty.
    pub namespace: String,
    /// How the process is called in Kafka's own logs and quotas.
    pub client_id: String,
    /// Of each topic that has to be made. A room is on one of them, so this is how many processes can share
    /// the work of a group.
    pub partitions: u32,
    /// How long a consumer may be busy with what it took. Then its group goes on without it, until it asks for
    /// more, and [`super::KafkaLog::answers`] says so. Six seconds at least.
    pub busy_max: Duration,
    /// How long a server that was only just started may take to answer.
    pub start_patience: Duration,
}

impl Config {
    pub const PARTITIONS: u32 = 8;

    pub fn new(brokers: &str, namespace: &str, client_id: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            namespace: namespace.to_owned(),
            client_id: client_id.to_owned(),
            partitions: Self::PARTITIONS,
            busy_max: Duration::from_secs(300),
            start_patience: Duration::from_secs(30),
        }
    }

    pub(super) fn topic(&self, topic: Topic) -> String {
        self.named(topic.as_str())
    }

    /// Where what could not be handled of a topic is kept.
    pub(super) fn dead_letters(&self, topic: Topic) -> String {
        self.named(&format!("{}.dlq", topic.as_str()))
    }

    pub(super) fn named(&self, name: &str) -> String {
        if self.namespace.is_empty() { name.to_owned() } else { format!("{}.{name}", self.namespace) }
    }

    /// Kafka's own rule for the names of topics, with room for ours behind it.
    pub(super) fn namespace_is_good(&self) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        self.namespace.len() <= 150 && self.namespace.chars().all(allowed)
    }

    /// What every client has: who it is, and that it comes back soon after a broker that was away.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            // Who asks for a partition a moment too early, right after its topic was made, asks again only then.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("log.connection.close", "false");
        config
    }

    /// Acknowledged means on every replica that is in sync. Callers batch, so nothing is waited for to fill
    /// one; keys go where the Java clients would put them.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // Else one that has nothing to send connects only when asked something, and after a broker that stood
            // still for a while (librdkafka 2.12.1) not even then: such a process would never be ready again.
            .set("enable.sparse.connections", "false")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", DEAD_LETTER_BYTES_MAX.to_string())
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS.to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536");
        config
    }

    /// Hears of a record as soon as it is there. Offsets are committed by hand and by nothing else.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.named(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    /// By itself at the end of every partition, which stay the same: a question that finds nothing may stay with
    /// the broker for longer, as no other one waits behind it. A record is the answer as soon as it is there.
    pub(super) fn follower(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        config.set("auto.offset.reset", "latest").set("fetch.wait.max.ms", "1000");
        config
    }

    /// A member of a group, that shares its partitions with the others.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let busy_max_ms = self.busy_max.as_millis().max(SESSION_TIMEOUT_MS.into());
        let mut config = self.consumer(group);
        config
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS.to_string())
            .set("heartbeat.interval.ms", HEARTBEAT_MS.to_string())
            .set("max.poll.interval.ms", busy_max_ms.to_string())
            .set("statistics.interval.ms", "10000");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_namespace_names_are_the_contracts() {
        let config = Config::new("127.0.0.1:9092", "", "turnline");
        assert_eq!(config.topic(Topic::Payments), "turnline.payments");
        assert_eq!(config.dead_letters(Topic::Rooms), "turnline.rooms.dlq");
        assert_eq!(config.named("active-queue"), "active-queue");
    }

    #[test]
    fn a_namespace_stands_before_every_name() {
        let config = Config::new("127.0.0.1:9092", "test-7", "turnline");
        assert_eq!(config.topic(Topic::Payments), "test-7.turnline.payments");
        assert_eq!(config.dead_letters(Topic::Rooms), "test-7.turnline.rooms.dlq");
        assert_eq!(config.named("active-queue"), "test-7.active-queue");
        assert!(config.namespace_is_good());
        assert!(!Config::new("", "a b", "").namespace_is_good());
    }
}
