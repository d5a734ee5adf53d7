//! What the kernel decided, written down.

use kernel::crash;
use kernel::ports::reservations::{PaymentRow, Reservation};
use kernel::reservation::decide::{Change, Decided};
use kernel::reservation::{Hold, Owner, Payment};
use kernel::words::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{int, time};
use super::{Fault, money, outbox};

/// Answers the outcome once its changes are written.
pub fn keep<T>(db: &Connection, decided: Decided<T>, now: Timestamp) -> Result<T, Fault> {
    for change in &decided.changes {
        apply(db, change, now)?;
        crash::written(change);
    }
    Ok(decided.outcome)
}

pub fn apply(db: &Connection, change: &Change, now: Timestamp) -> Result<(), Fault> {
    match change {
        Change::Held { owner, place, reservation } => hold(db, owner, *place, reservation, now),
        Change::Moved { reservation_id, hold, payment_id } => {
            let (state, reason, expires_at) = columns(*hold);
            db.prepare_cached(
                "UPDATE reservations SET state = ?, reason = ?, expires_at = ?, payment_id = ?
                 WHERE reservation_id = ?",
            )?
            .execute(params![state, reason, expires_at, payment_id, reservation_id])?;
            Ok(())
        }
        Change::Paid { owner, payment } => pay(db, owner, payment),
        Change::PaymentMoved { payment_id, payment } => {
            db.prepare_cached(
                "UPDATE payments SET state = ?, reason = ?, asked_at = ? WHERE payment_id = ?",
            )?
            .execute(params![payment.as_str(), reason(*payment), time(now), payment_id])?;
            Ok(())
        }
        Change::Booked { owner, entry, balance_after } => money::book(db, owner, entry, *balance_after),
        Change::SlotEnded { room, number } => {
            // A slot that paid was ended with its payment; writing nothing then spares the disk.
            db.prepare_cached("INSERT OR IGNORE INTO ended_slots (room, number, ended_at) VALUES (?, ?, ?)")?
                .execute(params![room.as_str(), int(*number), time(now)])?;
            Ok(())
        }
        Change::Told(record) => outbox::add(db, record),
    }
}

fn hold(
    db: &Connection,
    owner: &Owner,
    place: u64,
    reservation: &Reservation,
    now: Timestamp,
) -> Result<(), Fault> {
    let (state, reason, expires_at) = columns(reservation.hold);
    db.prepare_cached(
        "INSERT INTO reservations (reservation_id, room, sub, number, performance_id, place, seat_id,
                                   amount_minor, currency, state, reason, expires_at, made_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        reservation.reservation_id,
        owner.room.as_str(),
        owner.sub,
        int(reservation.number),
        reservation.performance_id,
        int(place),
        reservation.seat_id,
        reservation.amount_minor,
        reservation.currency.as_str(),
        state,
        reason,
        expires_at,
        time(now),
    ])?;
    Ok(())
}

fn pay(db: &Connection, owner: &Owner, row: &PaymentRow) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO payments (payment_id, room, sub, number, reservation_id, performance_id, seat_id,
                               amount_minor, currency, state, reason, made_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.payment_id,
        owner.room.as_str(),
        owner.sub,
        int(row.number),
        row.reservation_id,
        row.performance_id,
        row.seat_id,
        row.amount_minor,
        row.currency.as_str(),
        row.payment.as_str(),
        reason(row.payment),
        time(row.at),
    ])?;
    Ok(())
}

/// `state, reason, expires_at` of a reservation.
fn columns(hold: Hold) -> (&'static str, Option<&'static str>, Option<i64>) {
    match hold {
        Hold::Held { expires_at } => (hold.as_str(), None, Some(time(expires_at))),
        Hold::Released { reason } => (hold.as_str(), Some(reason.as_str()), None),
        Hold::Confirmed | Hold::Cancelled => (hold.as_str(), None, None),
    }
}

fn reason(payment: Payment) -> Option<&'static str> {
    match payment {
        Payment::Failed { reason } => Some(reason.as_str()),
        Payment::Completed | Payment::Cancelling | Payment::Cancelled => None,
    }
}
