//! The shop in PostgreSQL, for any number of replicas over one schema. The rules are the kernel's; here is
//! what they are asked about, under locks, and what they answer is written down.

mod bell;
mod catalogue;
mod changes;
mod holds;
mod inbox;
mod keys;
mod money;
mod outbox;
mod payments;
mod rows;
mod turns;

use async_trait::async_trait;
use kernel::event::PaymentRef;
use kernel::ports::reservations::*;
use kernel::ports::{Delivery, ReservationStore, StoreError};
use kernel::reservation::{Concert, Owner, SeatState};
use kernel::words::{Number, RoomId, Timestamp};

use super::Database;
use super::database::Work;
use bell::Bell;
use turns::Turns;

/// A concert of many seats is written in many statements.
const MANY_STATEMENTS: u32 = 6;
/// Whose turn it is to tell what happened in a part of the outbox.
fn telling(part: u8) -> String {
    format!("outbox/{part}")
}

/// Whose turn it is to work on what a consumer received.
fn working(consumer: &str) -> String {
    format!("inbox/{consumer}")
}

/// Whether a call changed something just now; what a key brought back was told then.
fn is_new<T: Outcome>(answered: &Answered<T>) -> bool {
    matches!(answered, Answered::Now(outcome) if outcome.changed())
}

/// Cheap to clone; clones are one replica.
#[derive(Clone)]
pub struct PgReservations {
    database: Database,
    turns: Turns,
    bell: Bell,
}

impl PgReservations {
    /// Has to be made within a tokio runtime.
    pub fn new(database: Database) -> Self {
        let (turns, bell) = (Turns::new(database.clone()), Bell::new(database.clone()));
        Self { database, turns, bell }
    }

    /// Leaves the work that one replica does at a time to the others, and gives all connections back; what
    /// comes after is refused.
    pub async fn close(&self) {
        self.turns.close().await;
        self.bell.close();
        self.database.close().await;
    }

    /// Lets others hear that there is something to be told, if the answer says so or nobody knows. Our own relay
    /// knows; others may be at less work, and a process may have none.
    fn rings<T>(
        &self,
        written: Result<T, StoreError>,
        tells: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        if written.as_ref().map_or(true, tells) {
            self.bell.pull();
        }
        written
    }

    /// There may be something to do: whoever has the turn should hear, if it is another.
    fn left_for(&self, turn: &str) {
        if !self.turns.ours(turn) {
            self.bell.pull();
        }
    }
}

#[async_trait]
impl ReservationStore for PgReservations {
    async fn add_concert(&self, concert: Concert, now: Timestamp) -> Result<Added, StoreError> {
        let patience = self.database.patience() * MANY_STATEMENTS;
        self.database.transact_within(patience, |db| Work::of(catalogue::add(db, &concert, now))).await
    }

    async fn concerts(&self, range: PageRange) -> Result<Page<ConcertRow>, StoreError> {
        self.database.run(|db| Work::of(catalogue::concerts(db, range))).await
    }

    async fn dates(&self, concert_id: &str, now: Timestamp) -> Result<Option<Vec<DateRow>>, StoreError> {
        self.database.run(|db| Work::of(catalogue::dates(db, concert_id, now))).await
    }

    async fn seat_plan(&self, performance_id: &str) -> Result<Option<SeatPlan>, StoreError> {
        self.database.run(|db| Work::of(catalogue::seat_plan(db, performance_id))).await
    }

    async fn taken(
        &self,
        performance_id: &str,
        now: Timestamp,
    ) -> Result<Vec<(usize, SeatState)>, StoreError> {
        self.database.run(|db| Work::of(catalogue::taken(db, performance_id, now))).await
    }

    async fn hold(&self, wish: HoldWish, now: Timestamp) -> Result<Answered<HoldOutcome>, StoreError> {
        let written = self.database.transact(|db| Work::of(holds::hold(db, &wish, now))).await;
        self.rings(written, is_new)
    }

    async fn reservation(
        &self,
        owner: &Owner,
        reservation_id: &str,
    ) -> Result<Option<Reservation>, StoreError> {
        self.database.run(|db| Work::of(holds::of_owner(db, owner, reservation_id))).await
    }

    async fn give_back(
        &self,
        wish: OwnWish,
        now: Timestamp,
    ) -> Result<Answered<GiveBackOutcome>, StoreError> {
        let written = self.database.transact(|db| Work::of(holds::give_back(db, &wish, now))).await;
        self.rings(written, is_new)
    }

    async fn pay(&self, wish: PayWish, now: Timestamp) -> Result<Answered<PayOutcome>, StoreError> {
        let written = self.database.transact(|db| Work::of(payments::pay(db, &wish, now))).await;
        self.rings(written, is_new)
    }

    async fn payment(&self, owner: &Owner, payment_id: &str) -> Result<Option<PaymentRow>, StoreError> {
        self.database.run(|db| Work::of(payments::of_owner(db, owner, payment_id))).await
    }

    async fn payments(&self, owner: &Owner, range: PageRange) -> Result<Page<PaymentRow>, StoreError> {
        self.database.run(|db| Work::of(payments::list(db, owner, range))).await
    }

    async fn request_cancel(
        &self,
        wish: OwnWish,
        now: Timestamp,
    ) -> Result<Answered<CancelOutcome>, StoreError> {
        let written = self.database.transact(|db| Work::of(payments::request_cancel(db, &wish, now))).await;
        self.rings(written, is_new)
    }

    async fn compensate(&self, payment: &PaymentRef, now: Timestamp) -> Result<Compensated, StoreError> {
        let written = self.database.transact(|db| Work::of(payments::compensate(db, payment, now))).await;
        self.rings(written, |done| *done != Compensated::Already)
    }

    async fn recall_cancellations(
        &self,
        asked_before: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let written =
            self.database.transact(|db| Work::of(payments::recall(db, asked_before, limit, now))).await;
        self.rings(written, |recalled| *recalled > 0)
    }

    async fn balance(&self, owner: &Owner) -> Result<Money, StoreError> {
        self.database.run(|db| Work::of(money::balance(db, owner))).await
    }

    async fn charge(&self, wish: ChargeWish, now: Timestamp) -> Result<Answered<ChargeOutcome>, StoreError> {
        self.database.transact(|db| Work::of(money::charge(db, &wish, now))).await
    }

    async fn ledger(&self, owner: &Owner, range: PageRange) -> Result<Page<Entry>, StoreError> {
        self.database.run(|db| Work::of(money::ledger(db, owner, range))).await
    }

    async fn end_slot(
        &self,
        room: &RoomId,
        number: Number,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let written = self.database.transact(|db| Work::of(holds::end_slot(db, room, number, now))).await;
        self.rings(written, |freed| !freed.is_empty())
    }

    async fn extend_slot(
        &self,
        room: &RoomId,
        number: Number,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.database.transact(|db| Work::of(holds::extend_slot(db, room, number, expires_at, now))).await
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        // Mostly there is nothing to do, and then no transaction is begun.
        if self.database.run(|db| Work::of(holds::nothing_due(db, now))).await? {
            return Ok(Vec::new());
        }
        let written = self.database.transact(|db| Work::of(holds::sweep(db, now, limit))).await;
        self.rings(written, |freed| !freed.is_empty())
    }

    async fn outbox(&self, limit: usize) -> Result<OutboxBatch, StoreError> {
        for part in self.database.run(|db| Work::of(outbox::parts(db))).await? {
            let turn = telling(part);
            let ours = self.turns.look(&turn, |db| Work::of(outbox::unpublished(db, part, limit))).await?;
            match ours {
                Some(entries) if !entries.is_empty() => return Ok(OutboxBatch { part, entries }),
                // Somebody told them since we saw the part.
                Some(_) => self.turns.pass_on(&turn).await?,
                None => {}
            }
        }
        Ok(OutboxBatch::default())
    }

    async fn published(&self, part: u8, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError> {
        if !entries.is_empty() {
            self.database.run(|db| Work::of(outbox::published(db, &entries, now))).await?;
        }
        self.turns.pass_on(&telling(part)).await
    }

    async fn retell(&self, room: &RoomId, published_since: Timestamp) -> Result<u64, StoreError> {
        let written = self.database.run(|db| Work::of(outbox::retell(db, room, published_since))).await;
        self.rings(written, |again| *again > 0)
    }

    async fn receive(
        &self,
        consumer: &str,
        deliveries: Vec<Delivery>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.database.run(|db| Work::of(inbox::receive(db, consumer, &deliveries, now))).await?;
        self.left_for(&working(consumer));
        Ok(())
    }

    async fn inbox(
        &self,
        consumer: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let turn = working(consumer);
        let ours = self.turns.look(&turn, |db| Work::of(inbox::due(db, consumer, now, limit))).await?;
        Ok(ours.unwrap_or_default())
    }

    async fn handled(&self, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError> {
        self.database.run(|db| Work::of(inbox::handled(db, &entries, now))).await
    }

    async fn postponed(
        &self,
        entry: u64,
        error: &str,
        attempts: u32,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database.run(|db| Work::of(inbox::postponed(db, entry, error, attempts, due_at))).await
    }

    async fn discarded(&self, entry: u64) -> Result<(), StoreError> {
        self.database.run(|db| Work::of(inbox::discarded(db, entry))).await
    }

    async fn rung(&self) {
        self.bell.heard().await;
    }

    async fn prune(
        &self,
        done_before: Timestamp,
        kept_before: Timestamp,
        limit: usize,
    ) -> Result<bool, StoreError> {
        self.database.run(|db| Work::of(outbox::prune(db, done_before, kept_before, limit))).await
    }
}
