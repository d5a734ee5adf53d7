//! What callers ask of the shop and what becomes of it, with the keys under which a call may be repeated.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::rows::{Money, PaymentRow, Reservation};
use crate::reservation::payment::Refusal as NoCancel;
use crate::reservation::{Currency, Failure, Owner, Slot, hold};
use crate::words::{Digest, Number};

/// Who asks for something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Inside(Slot),
    /// The slot has ended. A call made before may be repeated under its key; nothing new is opened.
    Outside(Owner),
}

impl Caller {
    pub fn owner(&self) -> &Owner {
        match self {
            Self::Inside(slot) => &slot.owner,
            Self::Outside(owner) => owner,
        }
    }

    /// The number of the slot, while there is one.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Inside(slot) => Some(slot.number),
            Self::Outside(_) => None,
        }
    }
}

/// What a key of an owner names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Hold,
    GiveBack,
    Pay,
    Cancel,
    Charge,
}

impl Operation {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::GiveBack => "give_back",
            Self::Pay => "pay",
            Self::Cancel => "cancel",
            Self::Charge => "charge",
        }
    }
}

/// A key under which a call may be repeated; it counts within its owner and operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallKey {
    pub operation: Operation,
    pub key: String,
    /// What was asked for; another body under the same key is refused.
    pub body: Digest,
}

/// An answer that changed something is kept under its key; a refusal changed nothing and is judged anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered<T> {
    Now(T),
    /// What an earlier call under this key was answered.
    Before(T),
    /// The key was used for another body.
    OtherBody,
}

#[derive(Debug, Clone)]
pub struct HoldWish {
    pub caller: Caller,
    /// A fresh id.
    pub reservation_id: String,
    pub performance_id: String,
    pub seat_id: String,
    /// Seats held at once by one slot, at most.
    pub max_holds: u64,
    pub key: Option<CallKey>,
    pub traceparent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOutcome {
    Held(Reservation),
    SeatTaken,
    Limit,
    UnknownPerformance,
    UnknownSeat,
    /// The concert belongs to another room than the caller.
    WrongRoom,
    SlotEnded,
}

/// Something asked of what the caller owns.
#[derive(Debug, Clone)]
pub struct OwnWish {
    pub owner: Owner,
    /// The reservation or payment.
    pub id: String,
    pub key: Option<CallKey>,
    pub traceparent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiveBackOutcome {
    /// The hold is over, by this call or before; the performance it was for.
    Over {
        performance_id: String,
    },
    Refused(hold::Refusal),
    Unknown,
}

#[derive(Debug, Clone)]
pub struct PayWish {
    pub caller: Caller,
    /// A fresh id.
    pub payment_id: String,
    pub reservation_id: String,
    pub key: CallKey,
    pub traceparent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayOutcome {
    Completed(PaymentRow),
    /// The payment was kept as failed.
    Failed(PaymentRow, Failure),
    Refused(hold::Refusal),
    UnknownReservation,
    SlotEnded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelOutcome {
    /// The payment as it stands: on the way, or cancelled already.
    Accepted(PaymentRow),
    Refused(NoCancel),
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compensated {
    /// The performance whose seat came free.
    Done {
        performance_id: String,
    },
    Already,
    Refused(NoCancel),
    Unknown,
}

#[derive(Debug, Clone)]
pub struct ChargeWish {
    pub caller: Caller,
    /// A fresh id, the entry's reference.
    pub charge_id: String,
    /// Minor units, checked by [`crate::reservation::money::chargeable`].
    pub amount_minor: i64,
    pub key: CallKey,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeOutcome {
    /// The balance after it.
    Charged(Money),
    /// The balance would grow beyond what a balance may be.
    TooMuch,
    SlotEnded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    New,
    /// The very same concert is there.
    Already,
    /// A concert of this id is there, and another one.
    Different,
    /// Another concert has a performance of this id.
    PerformanceTaken(String),
    /// The room sells in another currency.
    OtherCurrency(Currency),
}

/// What became of a call that may be repeated.
pub trait Outcome: Serialize + DeserializeOwned {
    /// Whether it changed something, so that it is kept under the call's key.
    fn changed(&self) -> bool;
}

impl Outcome for HoldOutcome {
    fn changed(&self) -> bool {
        match self {
            Self::Held(_) => true,
            Self::SeatTaken
            | Self::Limit
            | Self::UnknownPerformance
            | Self::UnknownSeat
            | Self::WrongRoom
            | Self::SlotEnded => false,
        }
    }
}

impl Outcome for GiveBackOutcome {
    fn changed(&self) -> bool {
        match self {
            Self::Over { .. } => true,
            Self::Refused(_) | Self::Unknown => false,
        }
    }
}

impl Outcome for PayOutcome {
    fn changed(&self) -> bool {
        match self {
            Self::Completed(_) | Self::Failed(..) => true,
            Self::Refused(_) | Self::UnknownReservation | Self::SlotEnded => false,
        }
    }
}

impl Outcome for CancelOutcome {
    fn changed(&self) -> bool {
        match self {
            Self::Accepted(_) => true,
            Self::Refused(_) | Self::Unknown => false,
        }
    }
}

impl Outcome for ChargeOutcome {
    fn changed(&self) -> bool {
        match self {
            Self::Charged(_) => true,
            Self::TooMuch | Self::SlotEnded => false,
        }
    }
}
