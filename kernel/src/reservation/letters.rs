//! What the shop tells, and under which ids: the same happening has the same id, and is told once.

use super::Hold;
use super::payment::Failure;
use crate::event::{CancellationFact, Event, PaymentFact, PaymentRef, Record, ReplyFact, ReservationFact};
use crate::ports::reservations::{PaymentRow, Reservation};
use crate::words::{RoomId, Timestamp};

/// What a reservation became; it becomes nothing twice, so the same happening has the same id. A hold that
/// lasts longer is not told.
pub fn reservation(now_it_is: &Reservation, traceparent: Option<String>, at: Timestamp) -> Record {
    let reservation = now_it_is.facts();
    let payment_id = || now_it_is.payment_id.clone().unwrap_or_default();
    let fact = match now_it_is.hold {
        Hold::Held { expires_at } => ReservationFact::ReservationHeld { reservation, expires_at },
        Hold::Confirmed => ReservationFact::ReservationConfirmed { reservation, payment_id: payment_id() },
        Hold::Released { reason } => ReservationFact::ReservationReleased { reservation, reason },
        Hold::Cancelled => ReservationFact::ReservationCancelled { reservation, payment_id: payment_id() },
    };
    let id = format!("{}.{}", now_it_is.reservation_id, now_it_is.hold.as_str());
    letter(&now_it_is.room, id, at, traceparent, Event::Reservation(fact))
}

/// A new payment's event happened when the payment did; so does that of a failed one.
pub fn completed(room: &RoomId, row: &PaymentRow, traceparent: Option<String>) -> Record {
    let event = Event::Payment(PaymentFact::PaymentCompleted(row.facts(room)));
    letter(room, format!("{}.completed", row.payment_id), row.at, traceparent, event)
}

pub fn failed(room: &RoomId, row: &PaymentRow, reason: Failure, traceparent: Option<String>) -> Record {
    let reason = reason.as_str().to_owned();
    let event = Event::Payment(PaymentFact::PaymentFailed { payment: row.facts(room), reason });
    letter(room, format!("{}.failed", row.payment_id), row.at, traceparent, event)
}

pub fn cancel_requested(
    room: &RoomId,
    row: &PaymentRow,
    traceparent: Option<String>,
    now: Timestamp,
) -> Record {
    let event = Event::Cancellation(CancellationFact::CancelPaymentRequested(row.facts(room)));
    letter(room, format!("{}.cancel-requested", row.payment_id), now, traceparent, event)
}

/// A new id: the first request was lost, and this one must not pass for it.
pub fn cancel_recalled(room: &RoomId, row: &PaymentRow, now: Timestamp) -> Record {
    let event = Event::Cancellation(CancellationFact::CancelPaymentRequested(row.facts(room)));
    let id = format!("{}.cancel-requested.{}", row.payment_id, now.as_millis());
    letter(room, id, now, None, event)
}

/// For everybody, and for who asked.
pub fn cancelled(room: &RoomId, row: &PaymentRow, now: Timestamp) -> [Record; 2] {
    let facts = row.facts(room);
    [
        ("cancelled", Event::Payment(PaymentFact::PaymentCancelled(facts.clone()))),
        ("cancellation-succeeded", Event::Reply(ReplyFact::PaymentCancellationSucceeded(facts))),
    ]
    .map(|(what, event)| letter(room, format!("{}.{what}", row.payment_id), now, None, event))
}

/// Answers a request that cannot be met; once a reason.
pub fn cancellation_failed(asked: &PaymentRef, reason: &str, now: Timestamp) -> Record {
    let fact = ReplyFact::PaymentCancellationFailed { payment: asked.clone(), reason: reason.to_owned() };
    let id = format!("{}.cancellation-failed.{reason}", asked.payment_id);
    letter(&asked.room, id, now, None, Event::Reply(fact))
}

fn letter(room: &RoomId, id: String, at: Timestamp, traceparent: Option<String>, event: Event) -> Record {
    Record { id, room: room.clone(), at, traceparent, event }
}
