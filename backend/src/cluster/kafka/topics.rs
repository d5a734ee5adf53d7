//! The topics: made at start where they are missing. What is there already stays as the operator has it.

use std::time::{Duration, Instant};

use kernel::event::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::Producer as _;

use super::client::Plain;
use super::producer::Producer;
use super::settings::{Config, DEAD_LETTER_BYTES_MAX};
use super::{ConnectError, blocking};

const REPLICAS_MAX: usize = 3;
/// A room's events are there as long as the room is.
const FOR_EVER: &str = "-1";
const FOURTEEN_DAYS: &str = "1209600000";
const THIRTY_DAYS: &str = "2592000000";
/// How long it may take to make topics.
const PATIENCE: Duration = Duration::from_secs(30);
const ASK_FOR: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

struct Wanted {
    name: String,
    partitions: u32,
    settings: Settings,
}

type Settings = Vec<(&'static str, String)>;

/// All there have to be.
fn wanted(config: &Config) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for topic in Topic::ALL {
        let kept = if Topic::OF_ROOMS.contains(&topic) { FOR_EVER } else { FOURTEEN_DAYS };
        wanted.push(Wanted {
            name: config.topic(topic),
            partitions: config.partitions.max(1),
            settings: vec![("retention.ms", kept.to_owned())],
        });
        wanted.push(Wanted {
            name: config.dead_letters(topic),
            // Letters are few, and on one partition they have one order.
            partitions: 1,
            settings: vec![
                ("retention.ms", THIRTY_DAYS.to_owned()),
                ("max.message.bytes", DEAD_LETTER_BYTES_MAX.to_string()),
            ],
        });
    }
    wanted
}

/// Makes the topics that are missing, and waits until every partition has a leader.
pub(super) async fn ensure(config: &Config, producer: &Producer) -> Result<(), ConnectError> {
    let began = Instant::now();
    let wanted = wanted(config);
    let mut asked = false;
    loop {
        let native = producer.current()?;
        let seen = blocking(move || native.client().fetch_metadata(None, ASK_FOR)).await?;
        let trouble = match seen {
            Ok(metadata) => {
                let missing: Vec<_> =
                    wanted.iter().filter(|topic| find(&metadata, &topic.name).is_none()).collect();
                if missing.is_empty() && wanted.iter().all(|topic| is_led(&metadata, topic)) {
                    return Ok(());
                }
                if !missing.is_empty() && !asked {
                    asked = true;
                    create(config, &missing, metadata.brokers().len()).await?;
                    continue;
                }
                "the topics that were just made have no leaders".to_owned()
            }
            Err(error) => error.to_string(),
        };
        if began.elapsed() > config.start_patience {
            return Err(ConnectError::Unreachable(config.brokers.clone(), trouble));
        }
        // sleep: the interval of a poll under a deadline
        tokio::time::sleep(PAUSE).await;
    }
}

async fn create<'a>(config: &Config, missing: &[&'a Wanted], brokers: usize) -> Result<(), ConnectError> {
    let replicas = brokers.clamp(1, REPLICAS_MAX);
    // With three replicas one may be away, and what is acknowledged is on two all the same.
    let in_sync = if replicas >= REPLICAS_MAX { "2" } else { "1" };
    let new = |topic: &&'a Wanted| -> NewTopic<'a> {
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(i32::try_from(replicas).unwrap_or(1));
        let new = NewTopic::new(&topic.name, partitions, replication)
            .set("cleanup.policy", "delete")
            .set("min.insync.replicas", in_sync);
        topic.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
    };
    let topics: Vec<_> = missing.iter().map(new).collect();
    let settings = config.client();
    let admin: AdminClient<Plain> =
        blocking(move || settings.create_with_context(Plain::default())).await?.map_err(refused)?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let outcome = admin.create_topics(&topics, &options).await;
    super::aside(move || drop(admin));
    for made in
        outcome.map_err(|error| ConnectError::Unreachable(config.brokers.clone(), error.to_string()))?
    {
        match made {
            Ok(name) => tracing::info!(topic = name, replicas, "made a topic"),
            // Another process started at the same moment.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(ConnectError::Topic(name, code.to_string())),
        }
    }
    Ok(())
}

fn refused(error: KafkaError) -> ConnectError {
    ConnectError::BadSettings(error.to_string())
}

fn find<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a rdkafka::metadata::MetadataTopic> {
    metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none())
}

fn is_led(metadata: &Metadata, wanted: &Wanted) -> bool {
    find(metadata, &wanted.name).is_some_and(|topic| {
        !topic.partitions().is_empty() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
    })
}

/// How many partitions a topic has.
pub(super) fn partitions(metadata: &Metadata, name: &str) -> KafkaResult<Vec<i32>> {
    let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
    let topic = find(metadata, name).ok_or(unknown)?;
    Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}
