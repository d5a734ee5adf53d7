//! What the shop keeps, as it is read: parts of lists, and the things in them.

use serde::{Deserialize, Serialize};

use crate::event::{PaymentRef, Record, ReservationRef};
use crate::ports::Delivery;
use crate::reservation::{Currency, EntryKind, Hold, Payment, Seat};
use crate::words::{Number, RoomId, Timestamp};

/// A part of a list: at most `limit` items after the cursor of the part before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    pub after: Option<u64>,
    pub limit: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor of the next part; absent at the end.
    pub next: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcertRow {
    pub id: String,
    pub title: String,
    pub room: RoomId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateRow {
    pub performance_id: String,
    pub starts_at: Timestamp,
    pub free: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatPlan {
    pub concert_id: String,
    pub room: RoomId,
    pub currency: Currency,
    pub seats: Vec<Seat>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub room: RoomId,
    pub reservation_id: String,
    pub performance_id: String,
    pub seat_id: String,
    pub number: Number,
    pub amount_minor: i64,
    pub currency: Currency,
    pub hold: Hold,
    /// The payment that confirmed it, also after it was cancelled.
    pub payment_id: Option<String>,
}

impl Reservation {
    /// What its events tell.
    pub fn facts(&self) -> ReservationRef {
        ReservationRef {
            room: self.room.clone(),
            reservation_id: self.reservation_id.clone(),
            performance_id: self.performance_id.clone(),
            seat_id: self.seat_id.clone(),
            number: self.number,
            amount_minor: self.amount_minor,
            currency: self.currency.to_string(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRow {
    pub payment_id: String,
    pub reservation_id: String,
    pub performance_id: String,
    pub seat_id: String,
    pub number: Number,
    pub amount_minor: i64,
    pub currency: Currency,
    pub payment: Payment,
    pub at: Timestamp,
}

impl PaymentRow {
    /// What its events tell.
    pub fn facts(&self, room: &RoomId) -> PaymentRef {
        PaymentRef {
            room: room.clone(),
            payment_id: self.payment_id.clone(),
            reservation_id: self.reservation_id.clone(),
            performance_id: self.performance_id.clone(),
            seat_id: self.seat_id.clone(),
            number: self.number,
            amount_minor: self.amount_minor,
            currency: self.currency.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub amount_minor: i64,
    pub currency: Currency,
}

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Signed minor units.
    pub amount_minor: i64,
    pub kind: EntryKind,
    /// The charge or payment it belongs to.
    pub reference: String,
    pub at: Timestamp,
}

/// Events to be told together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutboxBatch {
    /// Of the outbox; what is in one part is told in its order.
    pub part: u8,
    pub entries: Vec<OutboxEntry>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// Ascending in the order in which things happened.
    pub entry: u64,
    pub record: Record,
}

/// An event that was received and is yet to be worked on.
#[derive(Debug, Clone)]
pub struct InboxEntry {
    /// Ascending in the order in which they were received.
    pub entry: u64,
    pub delivery: Delivery,
    /// How often it failed.
    pub attempts: u32,
}
