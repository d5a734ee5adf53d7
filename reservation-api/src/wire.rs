//! The JSON of the shop, as the contract writes it.

use kernel::ports::reservations::{Entry, Money, PaymentRow, Reservation};
use kernel::reservation::{EntryKind, Hold, Payment, SeatState};
use kernel::words::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct ConcertBody {
    pub id: String,
    pub title: String,
    pub room: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DateBody {
    pub performance_id: String,
    /// RFC 3339, UTC.
    pub starts_at: String,
    /// Seats neither held nor sold.
    pub free: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SeatBody {
    pub seat_id: String,
    pub label: String,
    /// `free`, `held` or `sold`.
    #[schema(example = "free")]
    pub state: &'static str,
    pub amount_minor: i64,
    #[schema(example = "EUR")]
    pub currency: String,
}

impl SeatBody {
    pub fn new(seat: &kernel::reservation::Seat, state: SeatState, currency: &str) -> Self {
        Self {
            seat_id: seat.seat_id.clone(),
            label: seat.label.clone(),
            state: state.as_str(),
            amount_minor: seat.amount_minor,
            currency: currency.to_owned(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReservation {
    pub performance_id: String,
    pub seat_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationBody {
    pub reservation_id: String,
    /// `held`, `confirmed`, `released` or `cancelled`.
    #[schema(example = "held")]
    pub state: &'static str,
    pub performance_id: String,
    pub seat_id: String,
    /// Present while the seat is held. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<String>,
    /// Why it was released: `given_back`, `expired` or `slot_ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    pub amount_minor: i64,
    pub currency: String,
}

impl ReservationBody {
    /// As it stands at `now`: a hold that ran out reads as released before any sweep.
    pub fn new(reservation: Reservation, now: Timestamp) -> Self {
        let hold = reservation.hold.at(now);
        let (hold_expires_at, reason) = match hold {
            Hold::Held { expires_at } => (Some(expires_at.to_string()), None),
            Hold::Released { reason } => (None, Some(reason.as_str())),
            Hold::Confirmed | Hold::Cancelled => (None, None),
        };
        Self {
            reservation_id: reservation.reservation_id,
            state: hold.as_str(),
            performance_id: reservation.performance_id,
            seat_id: reservation.seat_id,
            hold_expires_at,
            reason,
            payment_id: reservation.payment_id,
            amount_minor: reservation.amount_minor,
            currency: reservation.currency.to_string(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    pub reservation_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentBody {
    pub payment_id: String,
    /// `completed`, `failed`, `cancelling` or `cancelled`.
    #[schema(example = "completed")]
    pub state: &'static str,
    pub reservation_id: String,
    pub performance_id: String,
    pub seat_id: String,
    /// Why it failed: `insufficient_balance` or `hold_expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    pub amount_minor: i64,
    pub currency: String,
    /// RFC 3339, UTC.
    pub at: String,
}

impl From<PaymentRow> for PaymentBody {
    fn from(row: PaymentRow) -> Self {
        let reason = match row.payment {
            Payment::Failed { reason } => Some(reason.as_str()),
            Payment::Completed | Payment::Cancelling | Payment::Cancelled => None,
        };
        Self {
            payment_id: row.payment_id,
            state: row.payment.as_str(),
            reservation_id: row.reservation_id,
            performance_id: row.performance_id,
            seat_id: row.seat_id,
            reason,
            amount_minor: row.amount_minor,
            currency: row.currency.to_string(),
            at: row.at.to_string(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCharge {
    /// 1 to 100,000,000 minor units.
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub amount_minor: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceBody {
    pub amount_minor: i64,
    #[schema(example = "EUR")]
    pub currency: String,
}

impl From<Money> for BalanceBody {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency.to_string() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EntryBody {
    /// Signed.
    pub amount_minor: i64,
    /// `charge`, `payment` or `refund`.
    #[schema(example = "charge")]
    pub kind: &'static str,
    /// The charge or payment it belongs to.
    pub reference: String,
    /// RFC 3339, UTC.
    pub at: String,
}

impl From<Entry> for EntryBody {
    fn from(entry: Entry) -> Self {
        let kind: EntryKind = entry.kind;
        Self {
            amount_minor: entry.amount_minor,
            kind: kind.as_str(),
            reference: entry.reference,
            at: entry.at.to_string(),
        }
    }
}
