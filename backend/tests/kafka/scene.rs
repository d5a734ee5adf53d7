//! A namespace of its own for every test; its topics are deleted at the end.

use std::sync::Arc;
use std::time::Duration;

use backend::clock::SystemClock;
use backend::cluster::kafka::{Config, KafkaLog};
use backend::entropy::SystemEntropy;
use kernel::event::Topic;
use kernel::ports::Entropy;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long anything that has to happen may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Scene {
    pub config: Config,
}

impl Scene {
    pub fn fresh() -> Self {
        Self::at(&url())
    }

    pub fn at(brokers: &str) -> Self {
        let namespace = format!("test-{}", kernel::words::hex(&SystemEntropy.bytes()[..8]));
        let mut config = Config::new(brokers, &namespace, "turnline-test");
        config.partitions = 4;
        Self { config }
    }

    /// As another process would.
    pub async fn connect(&self) -> KafkaLog {
        KafkaLog::connect(self.config.clone(), Arc::new(SystemClock)).await.unwrap()
    }

    pub fn topic(&self, topic: Topic) -> String {
        format!("{}.{}", self.config.namespace, topic.as_str())
    }

    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.config.brokers);
        client.set("topic.metadata.refresh.interval.ms", "1000");
        client
    }

    /// A consumer from another world, with nothing of ours in it.
    pub fn stranger(&self) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", "stranger").set("enable.auto.commit", "false");
        // Who asks for a partition a moment too early, right after its topic was made, asks again only then.
        config.set("topic.metadata.refresh.interval.ms", "2000");
        config.create().unwrap()
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Puts a message into a topic as it is.
    pub async fn put(&self, topic: &str, key: &[u8], value: &[u8], headers: OwnedHeaders) {
        let mut config = self.client();
        // Beside the events of the same key, and behind them.
        let producer: FutureProducer = config.set("partitioner", "murmur2_random").create().unwrap();
        let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
        producer.send(record, DEADLINE).await.unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let config = self.client();
        let names = {
            let consumer: Result<BaseConsumer, _> = config.create();
            let metadata =
                consumer.ok().and_then(|consumer| consumer.fetch_metadata(None, Duration::from_secs(5)).ok());
            let ours = format!("{}.", self.config.namespace);
            let all = metadata.iter().flat_map(|metadata| metadata.topics());
            all.map(|topic| topic.name().to_owned())
                .filter(|name| name.starts_with(&ours))
                .collect::<Vec<_>>()
        };
        // A runtime cannot be entered from within the test's own.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())).map(drop)
        });
        // A server of the test's own may be gone by now.
        let _ = deleted.join();
    }
}

pub fn url() -> String {
    std::env::var("TURNLINE_KAFKA").unwrap_or_else(|_| {
        panic!("this test needs Kafka: run `cargo xtask services start` and export what it prints")
    })
}
