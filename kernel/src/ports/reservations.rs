//! Where the shop lives: concerts, holds, payments, balances, and the outbox of what happened to them.
//! Every verb is one atomic step; what it answered survives a crash, and an event it caused is in the outbox.

mod calls;
mod rows;

use async_trait::async_trait;

use crate::event::PaymentRef;
use crate::ports::{Delivery, StoreError};
use crate::reservation::{Concert, Owner, SeatState};
use crate::words::{Number, RoomId, Timestamp};
pub use calls::*;
pub use rows::*;

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

    /// Takes events that are not marked as published, the oldest of some part of the outbox, in order; no
    /// other replica is given that part until [`ReservationStore::published`] gives it back, or this one
    /// ends. All that happens to one reservation, its payments among it, is in one part. Nothing: everything
    /// was told, or others are telling it.
    async fn outbox(&self, limit: usize) -> Result<OutboxBatch, StoreError>;

    /// Marks events of a part as published and gives the part back; with none it only gives it back.
    async fn published(&self, part: u8, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError>;

    /// Puts a room's events back into the outbox that were marked as published since then, as far as they
    /// are kept; answers how many. Consumers know them again by their ids.
    async fn retell(&self, room: &RoomId, published_since: Timestamp) -> Result<u64, StoreError>;

    /// Keeps events for `consumer` to work on, in their order; what it has by its id stays as it is. Once
    /// this returns they need not be delivered again.
    async fn receive(
        &self,
        consumer: &str,
        deliveries: Vec<Delivery>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// What `consumer` has to work on, the oldest first. What was postponed beyond `now` is not among them,
    /// nor what follows it in its room. One replica at a time works a consumer's inbox: the others are
    /// answered none, until it ends.
    async fn inbox(
        &self,
        consumer: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, StoreError>;

    /// Need not be worked on any more.
    async fn handled(&self, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError>;

    /// Failed so often by now; is to be tried again at `due_at`.
    async fn postponed(
        &self,
        entry: u64,
        error: &str,
        attempts: u32,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// It was put to the dead letters: forgets it, so that it is worked on when it is put back.
    async fn discarded(&self, entry: u64) -> Result<(), StoreError>;

    /// Waits until another replica has left something to be worked on. A hint: it may come for nothing, be
    /// missed, or never come, as in a store that has no replicas; who works looks now and then as well.
    async fn rung(&self) {
        std::future::pending().await
    }

    /// Forgets events that were published or handled before `done_before`, and keys and ended slots from
    /// before `kept_before`; at most `limit` of each. True when there may be more.
    async fn prune(
        &self,
        done_before: Timestamp,
        kept_before: Timestamp,
        limit: usize,
    ) -> Result<bool, StoreError>;
}
