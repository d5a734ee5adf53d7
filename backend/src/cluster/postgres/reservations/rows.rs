//! Rows as the port's values. What the database holds and no word of ours is, is told as broken.

use kernel::ports::reservations::{Page, PageRange, PaymentRow, Reservation};
use kernel::reservation::{Currency, EntryKind, Failure, Hold, HoldEnd, Payment};
use kernel::words::{RoomId, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::cluster::postgres::database::{int, uint};
use crate::cluster::postgres::fault::Fault;

/// What [`reservation`] reads, in its order.
macro_rules! reservation_columns {
    () => {
        "reservation_id, performance_id, seat_id, number, amount_minor, currency, state, reason, \
         expires_at, payment_id, room"
    };
}
/// What [`payment`] reads, in its order.
macro_rules! payment_columns {
    () => {
        "payment_id, reservation_id, performance_id, seat_id, number, amount_minor, currency, state, \
         reason, made_at"
    };
}
pub(super) use {payment_columns, reservation_columns};

pub fn time(at: Timestamp) -> i64 {
    int(at.as_millis())
}

pub fn time_at(row: &PgRow, column: usize) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_millis(uint_at(row, column)?))
}

pub fn uint_at(row: &PgRow, column: usize) -> Result<u64, Fault> {
    Ok(uint(row.try_get(column)?))
}

pub fn room_at(row: &PgRow, column: usize) -> Result<RoomId, Fault> {
    let text: &str = row.try_get(column)?;
    RoomId::parse(text).map_err(|bad| unreadable(text, &bad.to_string()))
}

pub fn currency_at(row: &PgRow, column: usize) -> Result<Currency, Fault> {
    let text: &str = row.try_get(column)?;
    Currency::parse(text).map_err(|bad| unreadable(text, &bad.to_string()))
}

pub fn kind_at(row: &PgRow, column: usize) -> Result<EntryKind, Fault> {
    word_at(row, column, &EntryKind::ALL, EntryKind::as_str)
}

pub fn reservation(row: &PgRow) -> Result<Reservation, Fault> {
    Ok(Reservation {
        reservation_id: row.try_get(0)?,
        performance_id: row.try_get(1)?,
        seat_id: row.try_get(2)?,
        number: uint_at(row, 3)?,
        amount_minor: row.try_get(4)?,
        currency: currency_at(row, 5)?,
        hold: hold_at(row, 6)?,
        payment_id: row.try_get(9)?,
        room: room_at(row, 10)?,
    })
}

pub fn payment(row: &PgRow) -> Result<PaymentRow, Fault> {
    Ok(PaymentRow {
        payment_id: row.try_get(0)?,
        reservation_id: row.try_get(1)?,
        performance_id: row.try_get(2)?,
        seat_id: row.try_get(3)?,
        number: uint_at(row, 4)?,
        amount_minor: row.try_get(5)?,
        currency: currency_at(row, 6)?,
        payment: payment_at(row, 7)?,
        at: time_at(row, 9)?,
    })
}

/// One row more than asked for tells whether the list goes on.
pub fn limit(range: PageRange) -> i64 {
    i64::try_from(range.limit).unwrap_or(i64::MAX - 1) + 1
}

/// Of `limit + 1` rows read with their entries, the page and where the next one goes on.
pub fn page<T>(mut rows: Vec<(u64, T)>, range: PageRange) -> Page<T> {
    let more = rows.len() > range.limit;
    rows.truncate(range.limit);
    let next = rows.last().map(|(entry, _)| *entry).filter(|_| more);
    Page { items: rows.into_iter().map(|(_, item)| item).collect(), next }
}

/// Columns `state, reason, expires_at` from `column` on.
fn hold_at(row: &PgRow, column: usize) -> Result<Hold, Fault> {
    match row.try_get(column)? {
        "held" => Ok(Hold::Held { expires_at: time_at(row, column + 2)? }),
        "confirmed" => Ok(Hold::Confirmed),
        "cancelled" => Ok(Hold::Cancelled),
        "released" => {
            Ok(Hold::Released { reason: word_at(row, column + 1, &HoldEnd::ALL, HoldEnd::as_str)? })
        }
        state => Err(unreadable(state, "the state of a reservation is another")),
    }
}

/// Columns `state, reason` from `column` on.
fn payment_at(row: &PgRow, column: usize) -> Result<Payment, Fault> {
    match row.try_get(column)? {
        "completed" => Ok(Payment::Completed),
        "cancelling" => Ok(Payment::Cancelling),
        "cancelled" => Ok(Payment::Cancelled),
        "failed" => Ok(Payment::Failed { reason: word_at(row, column + 1, &Failure::ALL, Failure::as_str)? }),
        state => Err(unreadable(state, "the state of a payment is another")),
    }
}

fn word_at<T: Copy>(
    row: &PgRow,
    column: usize,
    known: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<T, Fault> {
    let text: &str = row.try_get(column)?;
    let found = known.iter().find(|word| as_str(**word) == text);
    found.copied().ok_or_else(|| unreadable(text, "a word of a newer version"))
}

fn unreadable(text: &str, why: &str) -> Fault {
    Fault::Broken(format!("{text:?}: {why}"))
}
