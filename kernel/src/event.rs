//! What happened, as past-tense facts: frozen once shipped, extended by optional fields or a `v2`.

pub mod v1;

use serde::{Deserialize, Serialize};

use crate::words::{RoomId, Timestamp};
pub use v1::{
    CancellationFact, FaultFact, PaymentFact, PaymentRef, ReplyFact, ReservationFact, ReservationRef,
    RoomFact,
};

/// A fact of a room. `seq` is one order over all topics of the room, from 1; consumers drop what they have seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomEvent {
    pub room: RoomId,
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub fact: RoomFact,
}

/// Everything that travels between services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    Room(RoomEvent),
    Reservation(ReservationFact),
    Payment(PaymentFact),
    Cancellation(CancellationFact),
    Reply(ReplyFact),
    Fault(FaultFact),
}

/// An event on its way: with the id by which consumers know it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Unique for ever (`ce_id`).
    pub id: String,
    /// The key: events of a room stay in order.
    pub room: RoomId,
    pub at: Timestamp,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
    pub event: Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Rooms,
    WaitingTokens,
    ActiveTokens,
    Progress,
    Reservations,
    Payments,
    PaymentCancellations,
    PaymentCancellationReplies,
    Faults,
}

impl Topic {
    /// The topics whose events carry a room's `seq`.
    pub const OF_ROOMS: [Self; 4] = [Self::Rooms, Self::WaitingTokens, Self::ActiveTokens, Self::Progress];

    pub const ALL: [Self; 9] = [
        Self::Rooms,
        Self::WaitingTokens,
        Self::ActiveTokens,
        Self::Progress,
        Self::Reservations,
        Self::Payments,
        Self::PaymentCancellations,
        Self::PaymentCancellationReplies,
        Self::Faults,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rooms => "turnline.rooms",
            Self::WaitingTokens => "turnline.waiting-tokens",
            Self::ActiveTokens => "turnline.active-tokens",
            Self::Progress => "turnline.progress",
            Self::Reservations => "turnline.reservations",
            Self::Payments => "turnline.payments",
            Self::PaymentCancellations => "turnline.payment-cancellations",
            Self::PaymentCancellationReplies => "turnline.payment-cancellations.replies",
            Self::Faults => "turnline.faults",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text)
    }
}

impl From<RoomEvent> for Record {
    /// The id follows from room and `seq`, so whoever publishes it gives it the same.
    fn from(event: RoomEvent) -> Self {
        Self {
            id: format!("{}.{}", event.room, event.seq),
            room: event.room.clone(),
            at: event.at,
            traceparent: None,
            event: Event::Room(event),
        }
    }
}

impl Record {
    /// Tells of a fault. `what` makes the id: the same fault has the same, however often it is found.
    pub fn fault(room: &RoomId, place: &str, code: &str, what: &str, detail: String, at: Timestamp) -> Self {
        let (place, code) = (place.to_owned(), code.to_owned());
        let id = format!("{room}.{place}.{code}.{what}");
        let fact = FaultFact::FaultFound { room: room.clone(), place, code, detail };
        Self { id, room: room.clone(), at, traceparent: None, event: Event::Fault(fact) }
    }
}

impl Event {
    /// Whose story this belongs to, which is told in its order: a reservation with all of its payments; else
    /// the room.
    pub fn story(&self) -> &str {
        match self {
            Self::Reservation(fact) => &fact.reservation().reservation_id,
            Self::Payment(fact) => &fact.payment().reservation_id,
            Self::Cancellation(fact) => &fact.payment().reservation_id,
            Self::Reply(fact) => &fact.payment().reservation_id,
            Self::Room(event) => event.room.as_str(),
            Self::Fault(FaultFact::FaultFound { room, .. }) => room.as_str(),
        }
    }

    /// The fact of a room, where it is one.
    pub fn of_room(&self) -> Option<&RoomEvent> {
        match self {
            Self::Room(event) => Some(event),
            Self::Reservation(_)
            | Self::Payment(_)
            | Self::Cancellation(_)
            | Self::Reply(_)
            | Self::Fault(_) => None,
        }
    }

    pub fn topic(&self) -> Topic {
        match self {
            Self::Room(event) => match &event.fact {
                RoomFact::RoomConfigured { .. }
                | RoomFact::RoomStateChanged { .. }
                | RoomFact::RoomRebuilt { .. } => Topic::Rooms,
                RoomFact::WaitingTokensIssued { .. }
                | RoomFact::WaitingTokensDeparted { .. }
                | RoomFact::WaitingTokensReinstated { .. } => Topic::WaitingTokens,
                RoomFact::ActiveTokensIssued { .. }
                | RoomFact::ActiveTokenClaimed { .. }
                | RoomFact::ActiveTokenRenewed { .. }
                | RoomFact::ActiveTokenReleased { .. } => Topic::ActiveTokens,
                RoomFact::RoomProgressed { .. } => Topic::Progress,
            },
            Self::Reservation(_) => Topic::Reservations,
            Self::Payment(_) => Topic::Payments,
            Self::Cancellation(_) => Topic::PaymentCancellations,
            Self::Reply(_) => Topic::PaymentCancellationReplies,
            Self::Fault(_) => Topic::Faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{EndReason, Ranges};

    #[test]
    fn events_keep_their_golden_form() {
        let event = Event::Room(RoomEvent {
            room: RoomId::parse("demo").unwrap(),
            seq: 7,
            at: Timestamp::from_millis(1_700_000_000_000),
            fact: RoomFact::WaitingTokensDeparted {
                ranges: [1, 2, 5].into_iter().collect::<Ranges>(),
                reason: EndReason::Left,
            },
        });
        let golden = r#"{"room":"demo","seq":7,"at":"2023-11-14T22:13:20Z","type":"WaitingTokensDeparted","ranges":[[1,2],[5,5]],"reason":"left"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Event>(golden).unwrap(), event);
        assert_eq!(event.topic(), Topic::WaitingTokens);
    }
}
