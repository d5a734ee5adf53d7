//! Payments and their undoing: money, seat, slot and events change in one transaction.

use kernel::event::PaymentRef;
use kernel::ports::reservations::{
    Answered, CancelOutcome, Compensated, OwnWish, Page, PageRange, PayOutcome, PayWish, PaymentRow,
};
use kernel::reservation::Owner;
use kernel::reservation::decide::{self, PayFacts, UndoFacts};
use kernel::words::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::catalogue::limit;
use super::changes::{apply, keep};
use super::rows::{PAYMENT, int, page, payment as payment_row, room_at, time, uint};
use super::{Fault, holds, keys, money};

pub fn pay(db: &Connection, wish: &PayWish, now: Timestamp) -> Result<Answered<PayOutcome>, Fault> {
    let owner = wish.caller.owner();
    keys::once(db, owner, Some(&wish.key), now, || {
        let (slot_ended, held) = match wish.caller.number() {
            Some(number) => {
                (holds::has_ended(db, &owner.room, number)?, holds::held_by(db, &owner.room, number)?)
            }
            None => (true, Vec::new()),
        };
        let facts = PayFacts {
            reservation: holds::of_owner(db, owner, &wish.reservation_id)?,
            slot_ended,
            balance_minor: money::balance(db, owner)?.amount_minor,
            held,
        };
        keep(db, decide::pay(wish, facts, now), now)
    })
}

pub fn of_owner(db: &Connection, owner: &Owner, payment_id: &str) -> Result<Option<PaymentRow>, Fault> {
    let sql = format!("SELECT {PAYMENT} FROM payments WHERE payment_id = ? AND room = ? AND sub = ?");
    let found = db
        .prepare_cached(&sql)?
        .query_row([payment_id, owner.room.as_str(), &owner.sub], payment_row)
        .optional()?;
    Ok(found)
}

pub fn list(db: &Connection, owner: &Owner, range: PageRange) -> Result<Page<PaymentRow>, Fault> {
    let sql = format!(
        "SELECT {PAYMENT} FROM payments WHERE room = ? AND sub = ? AND entry < ? ORDER BY entry DESC LIMIT ?"
    );
    let mut rows = db.prepare_cached(&sql)?;
    let before = range.after.map_or(i64::MAX, int);
    let read = |row: &Row<'_>| Ok((row.get(10).map(uint)?, payment_row(row)?));
    let rows = rows.query_map(params![owner.room.as_str(), owner.sub, before, limit(range)], read)?;
    Ok(page(rows.collect::<Result<_, _>>()?, range))
}

pub fn request_cancel(
    db: &Connection,
    wish: &OwnWish,
    now: Timestamp,
) -> Result<Answered<CancelOutcome>, Fault> {
    keys::once(db, &wish.owner, wish.key.as_ref(), now, || {
        let payment = of_owner(db, &wish.owner, &wish.id)?;
        keep(db, decide::request_cancel(wish, payment, now), now)
    })
}

pub fn compensate(db: &Connection, asked: &PaymentRef, now: Timestamp) -> Result<Compensated, Fault> {
    let sql = format!("SELECT {PAYMENT}, sub FROM payments WHERE payment_id = ? AND room = ?");
    let found = db
        .prepare_cached(&sql)?
        .query_row([&asked.payment_id, asked.room.as_str()], |row| {
            Ok((payment_row(row)?, row.get::<_, String>(11)?))
        })
        .optional()?;
    let found = found.map(|(payment, sub)| facts(db, asked, payment, sub)).transpose()?;
    let decided = decide::compensate(asked, found, now).map_err(|wrong| Fault::Broken(wrong.to_string()))?;
    keep(db, decided, now)
}

pub fn recall(
    db: &Connection,
    asked_before: Timestamp,
    limit: usize,
    now: Timestamp,
) -> Result<usize, Fault> {
    let sql = format!(
        "SELECT {PAYMENT}, room FROM payments WHERE state = 'cancelling' AND asked_at < ?
         ORDER BY asked_at LIMIT ?"
    );
    let stuck = {
        let mut rows = db.prepare_cached(&sql)?;
        let rows = rows.query_map([time(asked_before), int(limit as u64)], |row| {
            Ok((payment_row(row)?, room_at(row, 11)?))
        })?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    for (row, room) in &stuck {
        decide::recall(room, row, now).iter().try_for_each(|change| apply(db, change, now))?;
    }
    Ok(stuck.len())
}

fn facts(db: &Connection, asked: &PaymentRef, payment: PaymentRow, sub: String) -> Result<UndoFacts, Fault> {
    let owner = Owner { room: asked.room.clone(), sub };
    let reservation = holds::of_owner(db, &owner, &payment.reservation_id)?;
    let balance_minor = money::balance(db, &owner)?.amount_minor;
    Ok(UndoFacts { owner, payment, reservation, balance_minor })
}
