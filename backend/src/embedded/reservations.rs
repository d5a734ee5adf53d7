//! The shop in one SQLite file: one writer with group commit, reads over their own connections.
//! The rules are the kernel's; here is what they are asked about and what they answer is written down.

mod catalogue;
mod changes;
mod holds;
mod inbox;
mod keys;
mod migrations;
mod money;
mod outbox;
mod payments;
mod readers;
mod rows;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use kernel::event::PaymentRef;
use kernel::ports::reservations::*;
use kernel::ports::{Delivery, ReservationStore, StoreError};
use kernel::reservation::{Concert, Owner, SeatState};
use kernel::words::{Number, RoomId, Timestamp};

use super::OpenError;
use migrations::MigrationError;
use readers::Readers;
use writer::Writer;

/// The shop of one process, durable in a directory. Cheap to clone.
#[derive(Clone)]
pub struct SqliteReservations {
    writer: Writer,
    readers: Readers,
}

impl SqliteReservations {
    /// Opens `shop.db` in the directory, making it when it is new. Blocks.
    ///
    /// # Errors
    /// The directory or the file cannot be used.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join("shop.db");
        let connection = migrations::open(&path).map_err(|error| match error {
            MigrationError::Database(error) => OpenError::Database(error),
            MigrationError::Newer => OpenError::Unreadable(error.to_string()),
        })?;
        Ok(Self { writer: Writer::start(connection)?, readers: Readers::new(path) })
    }

    /// Finishes what was asked for and closes the file; what comes after is refused. Blocks.
    pub fn close(&self) {
        self.readers.close();
        self.writer.close();
    }
}

/// What went wrong inside; outside it is a store that does not answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("{0}")]
    Broken(String),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Sql(error) if passes(error) => Self::Unavailable(fault.to_string()),
            Fault::Sql(_) | Fault::Broken(_) => Self::Broken(fault.to_string()),
        }
    }
}

/// Whether the same work may succeed later: the file is busy, the disk full or away. What breaks a
/// constraint, or cannot be read as what it should be, stays wrong.
fn passes(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_some_and(|code| code != rusqlite::ErrorCode::ConstraintViolation)
}

#[async_trait]
impl ReservationStore for SqliteReservations {
    async fn add_concert(&self, concert: Concert, now: Timestamp) -> Result<Added, StoreError> {
        self.writer.run(move |db| catalogue::add(db, &concert, now)).await
    }

    async fn concerts(&self, range: PageRange) -> Result<Page<ConcertRow>, StoreError> {
        self.readers.run(move |db| catalogue::concerts(db, range)).await
    }

    async fn dates(&self, concert_id: &str, now: Timestamp) -> Result<Option<Vec<DateRow>>, StoreError> {
        let concert_id = concert_id.to_owned();
        self.readers.run(move |db| catalogue::dates(db, &concert_id, now)).await
    }

    async fn seat_plan(&self, performance_id: &str) -> Result<Option<SeatPlan>, StoreError> {
        let performance_id = performance_id.to_owned();
        self.readers.run(move |db| catalogue::seat_plan(db, &performance_id)).await
    }

    async fn taken(
        &self,
        performance_id: &str,
        now: Timestamp,
    ) -> Result<Vec<(usize, SeatState)>, StoreError> {
        let performance_id = performance_id.to_owned();
        self.readers.run(move |db| catalogue::taken(db, &performance_id, now)).await
    }

    async fn hold(&self, wish: HoldWish, now: Timestamp) -> Result<Answered<HoldOutcome>, StoreError> {
        self.writer.run(move |db| holds::hold(db, &wish, now)).await
    }

    async fn reservation(
        &self,
        owner: &Owner,
        reservation_id: &str,
    ) -> Result<Option<Reservation>, StoreError> {
        let (owner, id) = (owner.clone(), reservation_id.to_owned());
        self.readers.run(move |db| holds::of_owner(db, &owner, &id)).await
    }

    async fn give_back(
        &self,
        wish: OwnWish,
        now: Timestamp,
    ) -> Result<Answered<GiveBackOutcome>, StoreError> {
        self.writer.run(move |db| holds::give_back(db, &wish, now)).await
    }

    async fn pay(&self, wish: PayWish, now: Timestamp) -> Result<Answered<PayOutcome>, StoreError> {
        self.writer.run(move |db| payments::pay(db, &wish, now)).await
    }

    async fn payment(&self, owner: &Owner, payment_id: &str) -> Result<Option<PaymentRow>, StoreError> {
        let (owner, id) = (owner.clone(), payment_id.to_owned());
        self.readers.run(move |db| payments::of_owner(db, &owner, &id)).await
    }

    async fn payments(&self, owner: &Owner, range: PageRange) -> Result<Page<PaymentRow>, StoreError> {
        let owner = owner.clone();
        self.readers.run(move |db| payments::list(db, &owner, range)).await
    }

    async fn request_cancel(
        &self,
        wish: OwnWish,
        now: Timestamp,
    ) -> Result<Answered<CancelOutcome>, StoreError> {
        self.writer.run(move |db| payments::request_cancel(db, &wish, now)).await
    }

    async fn compensate(&self, payment: &PaymentRef, now: Timestamp) -> Result<Compensated, StoreError> {
        let payment = payment.clone();
        self.writer.run(move |db| payments::compensate(db, &payment, now)).await
    }

    async fn recall_cancellations(
        &self,
        asked_before: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.writer.run(move |db| payments::recall(db, asked_before, limit, now)).await
    }

    async fn balance(&self, owner: &Owner) -> Result<Money, StoreError> {
        let owner = owner.clone();
        self.readers.run(move |db| money::balance(db, &owner)).await
    }

    async fn charge(&self, wish: ChargeWish, now: Timestamp) -> Result<Answered<ChargeOutcome>, StoreError> {
        self.writer.run(move |db| money::charge(db, &wish, now)).await
    }

    async fn ledger(&self, owner: &Owner, range: PageRange) -> Result<Page<Entry>, StoreError> {
        let owner = owner.clone();
        self.readers.run(move |db| money::ledger(db, &owner, range)).await
    }

    async fn end_slot(
        &self,
        room: &RoomId,
        number: Number,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let room = room.clone();
        self.writer.run(move |db| holds::end_slot(db, &room, number, now)).await
    }

    async fn extend_slot(
        &self,
        room: &RoomId,
        number: Number,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let room = room.clone();
        self.writer.run(move |db| holds::extend_slot(db, &room, number, expires_at, now)).await
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        // Mostly there is nothing to do, and then no writer is troubled.
        if self.readers.run(move |db| holds::nothing_due(db, now)).await? {
            return Ok(Vec::new());
        }
        self.writer.run(move |db| holds::sweep(db, now, limit)).await
    }

    async fn outbox(&self, limit: usize) -> Result<OutboxBatch, StoreError> {
        // One process has the file, and one relay in it tells everything.
        let entries = self.readers.run(move |db| outbox::unpublished(db, limit)).await?;
        Ok(OutboxBatch { part: 0, entries })
    }

    async fn published(&self, _part: u8, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.writer.run(move |db| outbox::published(db, &entries, now)).await
    }

    async fn retell(&self, room: &RoomId, published_since: Timestamp) -> Result<u64, StoreError> {
        let room = room.clone();
        self.writer.run(move |db| outbox::retell(db, &room, published_since)).await
    }

    async fn receive(
        &self,
        consumer: &str,
        deliveries: Vec<Delivery>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let consumer = consumer.to_owned();
        self.writer.run(move |db| inbox::receive(db, &consumer, &deliveries, now)).await
    }

    async fn inbox(
        &self,
        consumer: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let consumer = consumer.to_owned();
        self.readers.run(move |db| inbox::due(db, &consumer, now, limit)).await
    }

    async fn handled(&self, entries: Vec<u64>, now: Timestamp) -> Result<(), StoreError> {
        self.writer.run(move |db| inbox::handled(db, &entries, now)).await
    }

    async fn postponed(
        &self,
        entry: u64,
        error: &str,
        attempts: u32,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let error = error.to_owned();
        self.writer.run(move |db| inbox::postponed(db, entry, &error, attempts, due_at)).await
    }

    async fn discarded(&self, entry: u64) -> Result<(), StoreError> {
        self.writer.run(move |db| inbox::discarded(db, entry)).await
    }

    async fn prune(
        &self,
        done_before: Timestamp,
        kept_before: Timestamp,
        limit: usize,
    ) -> Result<bool, StoreError> {
        self.writer.run(move |db| outbox::prune(db, done_before, kept_before, limit)).await
    }
}
