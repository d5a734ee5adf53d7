//! What could not be handled, in `<topic>.dlq`: the message as it was, with headers that tell why. That a
//! letter was put back is a message of its own behind it, since nothing in a log can be changed.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use kernel::event::Topic;
use kernel::ports::{DeadLetter, DeadLetters, Delivery, LogError, Place, Replay};
use kernel::words::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedHeaders, OwnedMessage};

use super::envelope::{self, Outgoing, header, text};
use super::scan::{self, Span};
use super::{Inner, KafkaLog, blocking, unavailable};

const ERROR: &str = "error";
const ATTEMPTS: &str = "attempts";
const STOOD_AT: &str = "stood_at";
const GROUP: &str = "group";
/// Of the message that says that the letter at this place was put back.
const REPLAYED: &str = "replayed";
const OURS: [&str; 4] = [ERROR, ATTEMPTS, STOOD_AT, GROUP];
/// Of an error's text; the whole of it is in the log of the process.
const ERROR_BYTES_MAX: usize = 2_000;
/// How many of the newest messages of each topic a list looks at.
const LOOK_BACK: i64 = 20_000;

/// A message on its way to the dead letters.
pub(super) struct Letter {
    topic: Topic,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

impl Letter {
    /// Of a message nobody could read: nobody tried to handle it either.
    pub fn of_message(message: &OwnedMessage, topic: Topic, group: &str, error: &str) -> Self {
        let headers = message.headers().map_or_else(OwnedHeaders::new, |headers| {
            let mut copy = OwnedHeaders::new_with_capacity(headers.count() + OURS.len());
            for header in headers.iter() {
                copy = copy.insert(header);
            }
            copy
        });
        let place = format!("{}/{}/{}", message.topic(), message.partition(), message.offset());
        Self {
            topic,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: why(headers, group, &place, error, 0),
        }
    }

    fn of_delivery(message: Outgoing, delivery: &Delivery, group: &str, error: &str, attempts: u32) -> Self {
        let place = format!("{}/{}", message.topic, delivery.place);
        Self {
            topic: delivery.record.event.topic(),
            key: message.key,
            value: message.value,
            headers: why(message.headers, group, &place, error, attempts),
        }
    }
}

fn why(headers: OwnedHeaders, group: &str, place: &str, error: &str, attempts: u32) -> OwnedHeaders {
    let error = error.get(..error.floor_char_boundary(ERROR_BYTES_MAX)).unwrap_or_default();
    headers
        .insert(text(ERROR, error))
        .insert(text(ATTEMPTS, &attempts.to_string()))
        .insert(text(STOOD_AT, place))
        .insert(text(GROUP, group))
}

impl Inner {
    pub(super) async fn keep_letter(&self, letter: Letter) -> Result<(), LogError> {
        let message = Outgoing {
            topic: self.config.dead_letters(letter.topic),
            key: letter.key,
            value: letter.value,
            headers: letter.headers,
            at: i64::try_from(self.clock.now().as_millis()).ok(),
        };
        self.producer.send(vec![message]).await
    }

    pub(super) async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        let record = &delivery.record;
        let message =
            envelope::encode(record, self.config.topic(record.event.topic()), &self.config.namespace)
                .map_err(unavailable)?;
        self.keep_letter(Letter::of_delivery(message, delivery, group, error, attempts)).await
    }
}

#[async_trait]
impl DeadLetters for KafkaLog {
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, LogError> {
        let config = self.inner.config.clone();
        let read = move || -> Result<Vec<DeadLetter>, LogError> {
            let consumer = scan::consumer(&config.consumer("dead-letters"))?;
            let topics: HashMap<String, Topic> =
                Topic::ALL.into_iter().map(|topic| (config.dead_letters(topic), topic)).collect();
            let names: Vec<String> = topics.keys().cloned().collect();
            let mut spans = scan::spans(&consumer, &names).map_err(unavailable)?;
            for span in &mut spans {
                span.first = span.first.max(span.end - LOOK_BACK);
            }
            let (mut letters, mut replayed) = (Vec::new(), HashSet::new());
            scan::through(&consumer, &spans, |message| {
                let Some(topic) = topics.get(message.topic()) else { return };
                match header(message, REPLAYED) {
                    Some(id) => drop(replayed.insert(id)),
                    None => letters.push(letter(*topic, message)),
                }
            })?;
            letters.sort_by_key(|letter| std::cmp::Reverse(letter.at));
            letters.truncate(limit);
            for letter in &mut letters {
                letter.replayed = replayed.contains(&letter.id);
            }
            Ok(letters)
        };
        blocking(read).await?
    }

    async fn show(&self, id: &str) -> Result<Option<DeadLetter>, LogError> {
        Ok(self.find(id).await?.map(|(letter, _)| letter))
    }

    async fn replay(&self, id: &str) -> Result<Replay, LogError> {
        let Some((letter, message)) = self.find(id).await? else { return Ok(Replay::Unknown) };
        if letter.replayed {
            return Ok(Replay::Already);
        }
        let mut original = OwnedHeaders::new();
        if let Some(headers) = message.headers() {
            for header in headers.iter().filter(|header| !OURS.contains(&header.key)) {
                original = original.insert(header);
            }
        }
        let (key, value) = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
        let topic = self.inner.config.topic(letter.topic);
        self.inner
            .producer
            .send(vec![Outgoing { topic, key: key.clone(), value, headers: original, at: None }])
            .await?;
        // Should this fail, the letter can be put back once more: whoever handled the event knows its id.
        let mark = Outgoing {
            topic: self.inner.config.dead_letters(letter.topic),
            key,
            value: None,
            headers: OwnedHeaders::new().insert(text(REPLAYED, &letter.id)),
            at: None,
        };
        self.inner.producer.send(vec![mark]).await?;
        Ok(Replay::PutBack)
    }
}

impl KafkaLog {
    /// The letter, and the message that it is.
    async fn find(&self, id: &str) -> Result<Option<(DeadLetter, OwnedMessage)>, LogError> {
        let Some((topic, place)) = parse_id(id) else { return Ok(None) };
        let (Ok(partition), Ok(first)) = (i32::try_from(place.partition), i64::try_from(place.offset)) else {
            return Ok(None);
        };
        let config = self.inner.config.clone();
        let read = move || -> Result<Option<(DeadLetter, OwnedMessage)>, LogError> {
            let consumer = scan::consumer(&config.consumer("dead-letters"))?;
            let spans = scan::spans(&consumer, &[config.dead_letters(topic)]).map_err(unavailable)?;
            let kept = spans.into_iter().find(|span| span.partition == partition);
            let Some(kept) = kept.filter(|span| (span.first..span.end).contains(&first)) else {
                return Ok(None);
            };
            let (mut found, mut replayed) = (None, HashSet::new());
            scan::through(&consumer, &[Span { first, ..kept }], |message| match header(message, REPLAYED) {
                Some(id) => drop(replayed.insert(id)),
                None if message.offset() == first => {
                    found = Some((letter(topic, message), message.detach()));
                }
                None => {}
            })?;
            Ok(found.map(|(letter, message)| {
                let replayed = replayed.contains(&letter.id);
                (DeadLetter { replayed, ..letter }, message)
            }))
        };
        blocking(read).await?
    }
}

fn letter(topic: Topic, message: &BorrowedMessage<'_>) -> DeadLetter {
    let at = message.timestamp().to_millis().and_then(|at| u64::try_from(at).ok());
    let stood_at = header(message, STOOD_AT).unwrap_or_default();
    // The topic is told by itself.
    let stood_at = stood_at.splitn(2, '/').last().unwrap_or_default().to_owned();
    DeadLetter {
        id: format!("{}-{}-{}", topic.as_str(), message.partition(), message.offset()),
        topic,
        group: header(message, GROUP).unwrap_or_default(),
        stood_at,
        room: envelope::room_of(message),
        event_id: header(message, "ce_id"),
        error: header(message, ERROR).unwrap_or_default(),
        attempts: header(message, ATTEMPTS).and_then(|attempts| attempts.parse().ok()).unwrap_or_default(),
        at: Timestamp::from_millis(at.unwrap_or_default()),
        value: String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned(),
        replayed: false,
    }
}

/// The topic of the event, and where the letter is in that topic's dead letters.
fn parse_id(id: &str) -> Option<(Topic, Place)> {
    let (rest, offset) = id.rsplit_once('-')?;
    let (topic, partition) = rest.rsplit_once('-')?;
    Some((Topic::parse(topic)?, Place { partition: partition.parse().ok()?, offset: offset.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_topic_and_place() {
        let parsed = parse_id("turnline.payment-cancellations.replies-0-17");
        let place = Place { partition: 0, offset: 17 };
        assert_eq!(parsed, Some((Topic::PaymentCancellationReplies, place)));
        for id in ["", "7", "turnline.payments-0", "turnline.payments-0-x", "turnline.nothing-0-1"] {
            assert_eq!(parse_id(id), None, "{id}");
        }
    }
}
