//! Reading partitions through to where they end now: for a room's history and for the dead letters. It blocks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kernel::ports::LogError;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::client::Member;
use super::{topics, unavailable};

const ASK_FOR: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(100);
/// A log from which nothing comes for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Part of a partition: from the first offset on, up to but without `end`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub topic: String,
    pub partition: i32,
    pub first: i64,
    pub end: i64,
}

/// Every partition of the topics, from the first record it has to where it ends now. Asks again for a while: a
/// partition may be new, or on its way to another leader.
pub(super) fn spans<X: ConsumerContext>(
    consumer: &impl Consumer<X>,
    names: &[String],
) -> KafkaResult<Vec<Span>> {
    let began = Instant::now();
    loop {
        match spans_now(consumer, names) {
            Err(_) if began.elapsed() < ASK_FOR => std::thread::sleep(PAUSE),
            told => return told,
        }
    }
}

fn spans_now<X: ConsumerContext>(consumer: &impl Consumer<X>, names: &[String]) -> KafkaResult<Vec<Span>> {
    let mut asked = TopicPartitionList::new();
    for name in names {
        let metadata = consumer.fetch_metadata(Some(name), ASK_FOR)?;
        for partition in topics::partitions(&metadata, name)? {
            asked.add_partition(name, partition);
        }
    }
    let first = offsets(consumer, &asked, Offset::Beginning)?;
    let end = offsets(consumer, &asked, Offset::End)?;
    let span = |((topic, partition), first): ((String, i32), i64)| {
        let end = end.get(&(topic.clone(), partition)).copied().unwrap_or(first);
        Span { topic, partition, first, end }
    };
    let mut spans: Vec<_> = first.into_iter().map(span).collect();
    spans.sort();
    Ok(spans)
}

/// Kafka takes the two ends of a partition as special times, so one question serves all.
fn offsets<X: ConsumerContext>(
    consumer: &impl Consumer<X>,
    asked: &TopicPartitionList,
    which: Offset,
) -> KafkaResult<HashMap<(String, i32), i64>> {
    let mut asked = asked.clone();
    asked.set_all_offsets(which)?;
    let told = consumer.offsets_for_times(asked, ASK_FOR)?;
    let mut offsets = HashMap::new();
    for element in told.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert((element.topic().to_owned(), element.partition()), offset);
        }
    }
    Ok(offsets)
}

/// A consumer for [`spans`] and [`through`].
pub(super) fn consumer(config: &ClientConfig) -> Result<BaseConsumer<Member>, LogError> {
    config.create_with_context(Member::new("scan")).map_err(unavailable)
}

/// Shows every message of the spans to `each`, in order within a partition.
pub(super) fn through(
    consumer: &BaseConsumer<Member>,
    spans: &[Span],
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), LogError> {
    let mut ends: HashMap<(&str, i32), i64> = HashMap::new();
    let mut assigned = TopicPartitionList::new();
    for span in spans.iter().filter(|span| span.first < span.end) {
        ends.insert((&span.topic, span.partition), span.end);
        assigned
            .add_partition_offset(&span.topic, span.partition, Offset::Offset(span.first))
            .map_err(unavailable)?;
    }
    consumer.assign(&assigned).map_err(unavailable)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let place = (message.topic(), message.partition());
                let Some(end) = ends.get(&place) else { continue };
                if message.offset() < *end {
                    each(&message);
                }
                if message.offset() + 1 >= *end {
                    let owned = ends.keys().find(|key| **key == place).copied();
                    owned.map(|key| ends.remove(&key));
                }
            }
            Some(Err(error)) if heard.elapsed() > PATIENCE => return Err(unavailable(error)),
            // What passes is tried again by the client itself.
            Some(Err(error)) => tracing::debug!(%error, "the log is read through; trying on"),
            None if heard.elapsed() > PATIENCE => {
                return Err(unavailable("nothing came while it was read through"));
            }
            None => {}
        }
    }
    consumer.unassign().map_err(unavailable)
}
