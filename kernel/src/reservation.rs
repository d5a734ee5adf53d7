//! The rules of the shop behind the queue: holds, payments, money, what a concert may look like.
//! Pure: a store asks these functions inside its transaction and keeps what they answer.

pub mod concert;
pub mod decide;
pub mod hold;
mod letters;
pub mod money;
pub mod payment;

use serde::{Deserialize, Serialize};

use crate::words::{Number, RoomId, Timestamp};
pub use concert::{BadConcert, Concert, Performance, Seat};
pub use hold::{Hold, HoldEnd};
pub use money::{BALANCE_MAX, CHARGE_MAX, Currency, EntryKind};
pub use payment::{Failure, Payment};

/// To whom reservations, payments, money and idempotency keys belong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub room: RoomId,
    /// The pass's `sub`.
    pub sub: String,
}

/// A visitor inside: what a valid pass with a living session lets somebody do, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub owner: Owner,
    pub number: Number,
    /// When the session ends, and every hold with it.
    pub expires_at: Timestamp,
}

/// A seat as a list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeatState {
    Free,
    Held,
    Sold,
}

impl SeatState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Sold => "sold",
        }
    }
}
