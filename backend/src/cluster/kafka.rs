//! The event log on Apache Kafka: at least once, in order a room and topic, CloudEvents in binary mode.
//!
//! | topic | partitions | kept |
//! | --- | --- | --- |
//! | `turnline.rooms`, `.waiting-tokens`, `.active-tokens`, `.progress` | 8 ([`Config::partitions`]) | for ever: a room is rebuilt from them |
//! | `turnline.reservations`, `.payments`, `.payment-cancellations`, `.payment-cancellations.replies`, `.faults` | 8 | 14 days |
//! | `<topic>.dlq` | 1: letters are few, and so they have one order | 30 days |
//!
//! Missing topics are made at start, on as many brokers as there are, three at most; with three, two have to
//! have a record before it is acknowledged. What is there already stays as it is, but the number of partitions
//! must not be changed while a room lives: its events would go on elsewhere. The key is the room, and the
//! partition is that of the Java clients' default partitioner (murmur2).
//!
//! A group's offsets are committed by hand, after the effect is stored. What cannot be read goes to the dead
//! letters at once, what cannot be handled after its attempts ([`EventLog::set_aside`]).

mod client;
mod dead_letters;
mod envelope;
mod handed;
mod partition;
mod producer;
mod pulses;
mod reader;
mod scan;
mod settings;
mod topics;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel::event::{Event, Record, RoomEvent, RoomFact, Topic};
use kernel::ports::{Clock, Consumer, Delivery, EventLog, LogError, StartAt, Subscription};
use kernel::words::RoomId;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use client::Member;
use producer::Producer;
use pulses::Pulses;
use reader::Reader;
use scan::Span;
pub use settings::Config;

/// How long Kafka may take to answer a question about itself before it counts as away.
const PROBE: Duration = Duration::from_secs(2);

/// Cheap to clone; clones share one producer.
#[derive(Clone)]
pub struct KafkaLog {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    clock: Arc<dyn Clock>,
    producer: Producer,
    pulses: Pulses,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("Kafka at {0} does not answer: {1}; is it running, and is this its address?")]
    Unreachable(String, String),
    #[error("Kafka's client cannot be set up so: {0}")]
    BadSettings(String),
    #[error("a namespace of Kafka's topics is of a-z A-Z 0-9 . _ -, at most 150: {0:?} is none")]
    BadNamespace(String),
    #[error("the topic {0} could not be made: {1}")]
    Topic(String, String),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl KafkaLog {
    /// Connects, and makes the topics that are missing.
    ///
    /// # Errors
    /// The address or the namespace is none, no broker answers in time ([`Config::start_patience`]), or the topics cannot be
    /// made.
    pub async fn connect(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ConnectError> {
        if !config.namespace_is_good() {
            return Err(ConnectError::BadNamespace(config.namespace));
        }
        let settings = config.producer();
        let producer = blocking(move || Producer::new(settings)).await?;
        let producer = producer.map_err(|error| ConnectError::BadSettings(error.to_string()))?;
        topics::ensure(&config, &producer).await?;
        Ok(Self { inner: Arc::new(Inner { config, clock, producer, pulses: Pulses::default() }) })
    }

    /// Whether the log can be worked with now; the answer takes two seconds at most.
    ///
    /// # Errors
    /// No broker answers, or a consumer of this process has not asked for more for so long that its group
    /// goes on without it.
    pub async fn answers(&self) -> Result<(), LogError> {
        if let Some(group) = self.inner.pulses.stuck(self.inner.config.busy_max) {
            return Err(unavailable(format!("{group} is stuck on an event, see its log")));
        }
        let (producer, topic) = (self.inner.producer.current()?, self.inner.config.topic(Topic::Rooms));
        let asked = blocking(move || producer.client().fetch_metadata(Some(&topic), PROBE)).await?;
        asked.map(|_| ()).map_err(unavailable)
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    /// Fails when a record was not acknowledged in half a minute; others of them may be in the log then.
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        let config = &self.inner.config;
        let encode = |record: &Record| {
            let topic = config.topic(record.event.topic());
            envelope::encode(record, topic, &config.namespace).map_err(unavailable)
        };
        let messages = records.iter().map(encode).collect::<Result<_, _>>()?;
        self.inner.producer.send(messages).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        let config = self.inner.config.clone();
        let Subscription { group, topics, start } = subscription;
        let topics: HashMap<String, Topic> =
            topics.into_iter().map(|topic| (config.topic(topic), topic)).collect();
        let names: Vec<String> = topics.keys().cloned().collect();
        let (member, named) = (Member::new(&group), group.clone());
        let consumer = blocking(move || match start {
            StartAt::Committed => join(&config, &named, member, &names),
            StartAt::Tail => follow(&config, &named, member, &names),
        });
        let consumer = consumer.await?.map_err(unavailable)?;
        Ok(Box::new(Reader::new(self.inner.clone(), group, start, topics, consumer)))
    }

    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
        let (config, room) = (self.inner.config.clone(), room.clone());
        blocking(move || read_history(&config, &room)).await?
    }

    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        self.inner.set_aside(group, delivery, error, attempts).await
    }
}

type Native = StreamConsumer<Member>;

/// As a member of the group; which partitions it gets is agreed on later.
fn join(
    config: &Config,
    group: &str,
    member: Member,
    names: &[String],
) -> rdkafka::error::KafkaResult<Native> {
    let consumer: Native = config.member(group).create_with_context(member)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    consumer.subscribe(&names)?;
    Ok(consumer)
}

/// By itself, from where every partition ends now: whatever is published after this is heard.
fn follow(
    config: &Config,
    group: &str,
    member: Member,
    names: &[String],
) -> rdkafka::error::KafkaResult<Native> {
    let consumer: Native = config.follower(group).create_with_context(member)?;
    let mut from = TopicPartitionList::new();
    for span in scan::spans(&consumer, names)? {
        from.add_partition_offset(&span.topic, span.partition, Offset::Offset(span.end))?;
    }
    consumer.assign(&from)?;
    Ok(consumer)
}

/// Reads the partitions where the room's key is; all of them when something is missing there, as somebody may
/// have changed their number.
fn read_history(config: &Config, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
    let mut settings = config.consumer("history");
    settings.set("auto.offset.reset", "earliest").set("queued.max.messages.kbytes", "65536");
    let consumer = scan::consumer(&settings)?;
    let names: Vec<String> = Topic::OF_ROOMS.into_iter().map(|topic| config.topic(topic)).collect();
    let all = scan::spans(&consumer, &names).map_err(unavailable)?;
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for span in &all {
        *counts.entry(&span.topic).or_default() += 1;
    }
    let at_home = |span: &&Span| {
        let count = counts.get(span.topic.as_str()).copied().unwrap_or_default();
        u32::try_from(span.partition) == Ok(partition::of_key(room.as_str().as_bytes(), count))
    };
    let (home, elsewhere): (Vec<Span>, Vec<Span>) = {
        let home: Vec<Span> = all.iter().filter(at_home).cloned().collect();
        let elsewhere = all.iter().filter(|span| !at_home(span)).cloned().collect();
        (home, elsewhere)
    };
    let mut events = BTreeMap::new();
    collect(config, &consumer, &home, room, &mut events)?;
    if !is_whole(&events) {
        collect(config, &consumer, &elsewhere, room, &mut events)?;
    }
    Ok(events.into_values().collect())
}

fn collect(
    config: &Config,
    consumer: &rdkafka::consumer::BaseConsumer<Member>,
    spans: &[Span],
    room: &RoomId,
    events: &mut BTreeMap<u64, RoomEvent>,
) -> Result<(), LogError> {
    let topics: HashMap<String, Topic> =
        Topic::OF_ROOMS.into_iter().map(|topic| (config.topic(topic), topic)).collect();
    scan::through(consumer, spans, |message| {
        let Some(topic) = topics.get(message.topic()).copied() else { return };
        if message.key() != Some(room.as_str().as_bytes()) {
            return;
        }
        match envelope::decode(topic, message) {
            Ok(Record { event: Event::Room(event), .. }) => drop(events.entry(event.seq).or_insert(event)),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%room, topic = topic.as_str(), offset = message.offset(), %error, "an event of the room's history cannot be read");
            }
        }
    })
}

/// Whether every `seq` from 1 on is there. A room that was made anew leaves some out, and says so.
fn is_whole(events: &BTreeMap<u64, RoomEvent>) -> bool {
    let mut expected = 1;
    for (seq, event) in events {
        if *seq != expected && !matches!(event.fact, RoomFact::RoomRebuilt { .. }) {
            return false;
        }
        expected = seq + 1;
    }
    !events.is_empty()
}

fn unavailable(error: impl std::fmt::Display) -> LogError {
    LogError::Unavailable(error.to_string())
}

/// Runs what waits for the network without an `await`.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.map_err(unavailable)
}

/// The same for what nobody waits for: the end of a client.
fn aside(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}
