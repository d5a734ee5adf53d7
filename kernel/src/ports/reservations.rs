//! Where the shop lives: concerts, holds, payments, balances, and the outbox of what happened to them.
//! Every verb is one atomic step; what it answered survives a crash, and an event it caused is in the outbox.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::{PaymentRef, Record};
use crate::ports::StoreError;
use crate::reservation::payment::Refusal as NoCancel;
use crate::reservation::{
    Concert, Currency, EntryKind, Failure, Hold, Owner, Payment, Seat, SeatState, Slot, hold,
};
use crate::words::{Digest, Number, RoomId, Timestamp};

#[async_trait]
pub trait ReservationStore: Send + Sync {
    /// Adds a concert that passed its check.
    async fn add_concert(&self, concert: Concert, now: Timestamp) -> Result<Added, StoreError>;

    /// Concerts in the order they were added.
    async fn concerts(&self, range: PageRange) -> Result<Page<ConcertRow>, StoreError>;

    /// A concert's performances in their order, with the seats free at `now`; absent when there is no such concert.
    async fn dates(&self, concert_id: &str, now: Timestamp) -> Result<Option<Vec<DateRow>>, StoreError>;

    /// What a performance sells; it never changes.
    async fn seat_plan(&self, performance_id: &str) -> Result<Option<SeatPlan>, StoreError>;

    /// The seats of a performance that are not free at `now`, by their place in the plan.
    async fn taken(
        &self,
        performance_id: &str,
        now: Timestamp,
    ) -> Result<Vec<(usize, SeatState)>, StoreError>;

    async fn hold(&self, wish: HoldWish, now: Timestamp) -> Result<Answered<HoldOutcome>, StoreError>;

    async fn reservation(
        &self,
        owner: &Owner,
        reservation_id: &str,
    ) -> Result<Option<Reservation>, StoreError>;

    async fn give_back(&self, wish: OwnWish, now: Timestamp)
    -> Result<Answered<GiveBackOutcome>, StoreError>;

    /// Takes the price and confirms the reservation, or keeps a failed payment. A completed payment ends
    /// the slot here at once: the visitor's other holds are over and nothing new is opened with it.
    async fn pay(&self, wish: PayWish, now: Timestamp) -> Result<Answered<PayOutcome>, StoreError>;

    async fn payment(&self, owner: &Owner, payment_id: &str) -> Result<Option<PaymentRow>, StoreError>;

    /// The newest first.
    async fn payments(&self, owner: &Owner, range: PageRange) -> Result<Page<PaymentRow>, StoreError>;

    /// Marks a payment as cancelling and asks for its compensation.
    async fn request_cancel(
        &self,
        wish: OwnWish,
        now: Timestamp,
    ) -> Result<Answered<CancelOutcome>, StoreError>;

    /// Gives the money back and the seat free, and replies; once, however often it is called.
    async fn compensate(&self, payment: &PaymentRef, now: Timestamp) -> Result<Compensated, StoreError>;

    /// Asks again for compensations asked for before `asked_before`; answers how many.
    async fn recall_cancellations(
        &self,
        asked_before: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    async fn balance(&self, owner: &Owner) -> Result<Money, StoreError>;

    async fn charge(&self, wish: ChargeWish, now: Timestamp) -> Result<Answered<ChargeOutcome>, StoreError>;

    /// The newest first.
    async fn ledger(&self, owner: &Owner, range: PageRange) -> Result<Page<Entry>, StoreError>;

    /// The slot ended: its holds are over, and it opens nothing any more.
    /// Answers the performances whose seats came free.
    async fn end_slot(
        &self,
        room: &RoomId,
        number: Number,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError>;

    /// The session was renewed: its holds live as long.
    async fn extend_slot(
        &self,
        room: &RoomId,
        number: Number,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down which holds ran out; answers the performances whose seats came free.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError>;

    /// The oldest events not yet published, in order. One relay at a time works a store's outbox.
    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError>;

    async fn published(&self, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError>;

    /// Forgets published events from before `published_before`, and keys and ended slots from before
    /// `kept_before`; at most `limit` of each. True when there may be more.
    async fn prune(
        &self,
        published_before: Timestamp,
        kept_before: Timestamp,
        limit: usize,
    ) -> Result<bool, StoreError>;
}

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

/// What became of a call that may be repeated.
pub trait Outcome: Serialize + serde::de::DeserializeOwned {
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

#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// Ascending in the order in which things happened.
    pub entry: u64,
    pub record: Record,
}
