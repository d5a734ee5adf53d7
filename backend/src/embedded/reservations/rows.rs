//! Rows as the port's values. What the file holds and no word of ours is, is told as broken.

use kernel::ports::reservations::{Page, PageRange, PaymentRow, Reservation};
use kernel::reservation::{Currency, EntryKind, Failure, Hold, HoldEnd, Payment};
use kernel::words::{BadWord, Number, RoomId, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};

pub const RESERVATION: &str = "reservation_id, performance_id, seat_id, number, amount_minor, currency, \
                               state, reason, expires_at, payment_id, room";
pub const PAYMENT: &str = "payment_id, reservation_id, performance_id, seat_id, number, amount_minor, \
                           currency, state, reason, made_at, entry";

/// SQLite's integers are signed; what does not fit is larger than anything that is counted here.
pub fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub fn time(at: Timestamp) -> i64 {
    int(at.as_millis())
}

pub fn time_at(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    row.get(column).map(|ms| Timestamp::from_millis(uint(ms)))
}

pub fn number_at(row: &Row<'_>, column: usize) -> Result<Number> {
    row.get(column).map(uint)
}

pub fn room_at(row: &Row<'_>, column: usize) -> Result<RoomId> {
    let text: String = row.get(column)?;
    RoomId::parse(&text).map_err(|bad| unreadable(column, bad))
}

pub fn currency_at(row: &Row<'_>, column: usize) -> Result<Currency> {
    let text: String = row.get(column)?;
    Currency::parse(&text).map_err(|bad| unreadable(column, bad))
}

pub fn kind_at(row: &Row<'_>, column: usize) -> Result<EntryKind> {
    let text: String = row.get(column)?;
    known(EntryKind::ALL.into_iter().find(|kind| kind.as_str() == text), column)
}

pub fn reservation(row: &Row<'_>) -> Result<Reservation> {
    Ok(Reservation {
        reservation_id: row.get(0)?,
        performance_id: row.get(1)?,
        seat_id: row.get(2)?,
        number: number_at(row, 3)?,
        amount_minor: row.get(4)?,
        currency: currency_at(row, 5)?,
        hold: hold_at(row, 6)?,
        payment_id: row.get(9)?,
        room: room_at(row, 10)?,
    })
}

pub fn payment(row: &Row<'_>) -> Result<PaymentRow> {
    Ok(PaymentRow {
        payment_id: row.get(0)?,
        reservation_id: row.get(1)?,
        performance_id: row.get(2)?,
        seat_id: row.get(3)?,
        number: number_at(row, 4)?,
        amount_minor: row.get(5)?,
        currency: currency_at(row, 6)?,
        payment: payment_at(row, 7)?,
        at: time_at(row, 9)?,
    })
}

/// Of `limit + 1` rows read with their entries, the page and where the next one goes on.
pub fn page<T>(mut rows: Vec<(u64, T)>, range: PageRange) -> Page<T> {
    let more = rows.len() > range.limit;
    rows.truncate(range.limit);
    let next = rows.last().map(|(entry, _)| *entry).filter(|_| more);
    Page { items: rows.into_iter().map(|(_, item)| item).collect(), next }
}

/// Columns `state, reason, expires_at` from `column` on.
fn hold_at(row: &Row<'_>, column: usize) -> Result<Hold> {
    let state: String = row.get(column)?;
    match state.as_str() {
        "held" => Ok(Hold::Held { expires_at: time_at(row, column + 2)? }),
        "confirmed" => Ok(Hold::Confirmed),
        "cancelled" => Ok(Hold::Cancelled),
        _ => {
            let reason: String = row.get(column + 1)?;
            let reason = HoldEnd::ALL.into_iter().find(|known| known.as_str() == reason);
            Ok(Hold::Released { reason: known(reason, column + 1)? })
        }
    }
}

/// Columns `state, reason` from `column` on.
fn payment_at(row: &Row<'_>, column: usize) -> Result<Payment> {
    let state: String = row.get(column)?;
    match state.as_str() {
        "completed" => Ok(Payment::Completed),
        "cancelling" => Ok(Payment::Cancelling),
        "cancelled" => Ok(Payment::Cancelled),
        _ => {
            let reason: String = row.get(column + 1)?;
            let reason = Failure::ALL.into_iter().find(|known| known.as_str() == reason);
            Ok(Payment::Failed { reason: known(reason, column + 1)? })
        }
    }
}

fn known<T>(word: Option<T>, column: usize) -> Result<T> {
    word.ok_or_else(|| unreadable(column, BadWord("a word of a newer version")))
}

fn unreadable(column: usize, bad: BadWord) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(bad))
}
