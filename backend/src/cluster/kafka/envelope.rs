//! An event as a message: CloudEvents 1.0 in binary mode. What it is stands in the headers, the event itself
//! is the value, and the room is the key, so that events of a room stay in order.

use std::borrow::Cow;

use kernel::event::{
    CancellationFact, Event, FaultFact, PaymentFact, Record, ReplyFact, ReservationFact, RoomEvent, Topic,
};
use kernel::words::{RoomId, Timestamp};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";
const SOURCE: &str = "/turnline";

/// A message on its way to the log.
pub(super) struct Outgoing {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: OwnedHeaders,
    /// Milliseconds; when it is sent, if absent.
    pub at: Option<i64>,
}

/// Why a message means nothing to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

/// The message of `record` in `topic`. Events of two namespaces may have one id, so their sources differ.
pub(super) fn encode(record: &Record, topic: String, namespace: &str) -> Result<Outgoing, serde_json::Error> {
    let value = serde_json::to_string(&record.event)?;
    let kind = kind_of(&value)?;
    let source = if namespace.is_empty() { SOURCE.into() } else { format!("{SOURCE}/{namespace}") };
    let mut headers = OwnedHeaders::new_with_capacity(10)
        .insert(text("ce_specversion", SPEC_VERSION))
        .insert(text("ce_id", &record.id))
        .insert(text("ce_source", &source))
        .insert(text("ce_type", &kind))
        .insert(text("ce_time", &record.at.to_string()))
        .insert(text("ce_subject", subject(record)))
        .insert(text("content-type", CONTENT_TYPE));
    if let Some(traceparent) = &record.traceparent {
        headers = headers.insert(text("traceparent", traceparent));
    }
    if record.event.topic() == Topic::Payments {
        headers = headers.insert(text("payment-type", &kind));
    }
    let (key, value) = (Some(record.room.as_str().as_bytes().to_vec()), Some(value.into_bytes()));
    Ok(Outgoing { topic, key, value, headers, at: None })
}

/// What `message` of `topic` tells.
pub(super) fn decode(topic: Topic, message: &impl Message) -> Result<Record, Unreadable> {
    let header = |name: &str| {
        header(message, name).ok_or_else(|| Unreadable(format!("the header {name} is missing or no text")))
    };
    let version = header("ce_specversion")?;
    if version != SPEC_VERSION {
        return Err(Unreadable(format!("ce_specversion is {version}, which is not known here")));
    }
    let room = room_of(message).ok_or_else(|| Unreadable("the key is no room".to_owned()))?;
    let at = header("ce_time")?;
    let at = Timestamp::parse(&at).map_err(|error| Unreadable(format!("ce_time is {at}: {error}")))?;
    let event = event(topic, message.payload().unwrap_or_default())?;
    if event.topic() != topic {
        return Err(Unreadable(format!("such an event belongs to {}", event.topic().as_str())));
    }
    let traceparent = self::header(message, "traceparent");
    Ok(Record { id: header("ce_id")?, room, at, traceparent, event })
}

pub(super) fn room_of(message: &impl Message) -> Option<RoomId> {
    RoomId::parse(std::str::from_utf8(message.key()?).ok()?).ok()
}

/// The first header of that name, if it is text.
pub(super) fn header(message: &impl Message, name: &str) -> Option<String> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    String::from_utf8(found.value?.to_vec()).ok()
}

pub(super) fn text<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header { key, value: Some(value) }
}

/// By topic rather than by trying what fits: the error then names what is wrong.
fn event(topic: Topic, value: &[u8]) -> Result<Event, Unreadable> {
    Ok(match topic {
        Topic::Rooms | Topic::WaitingTokens | Topic::ActiveTokens | Topic::Progress => {
            Event::Room(parse::<RoomEvent>(value)?)
        }
        Topic::Reservations => Event::Reservation(parse::<ReservationFact>(value)?),
        Topic::Payments => Event::Payment(parse::<PaymentFact>(value)?),
        Topic::PaymentCancellations => Event::Cancellation(parse::<CancellationFact>(value)?),
        Topic::PaymentCancellationReplies => Event::Reply(parse::<ReplyFact>(value)?),
        Topic::Faults => Event::Fault(parse::<FaultFact>(value)?),
    })
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(value).map_err(|error| Unreadable(format!("the value is no event: {error}")))
}

/// The event's type, as its JSON has it.
fn kind_of(value: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Tagged<'_>>(value).map(|tagged| tagged.kind)
}

/// What the event is about: the reservation or payment, or else the room.
fn subject(record: &Record) -> &str {
    match &record.event {
        Event::Reservation(fact) => &fact.reservation().reservation_id,
        Event::Payment(fact) => &fact.payment().payment_id,
        Event::Cancellation(fact) => &fact.payment().payment_id,
        Event::Reply(fact) => &fact.payment().payment_id,
        Event::Room(_) | Event::Fault(_) => record.room.as_str(),
    }
}
