//! Balances and their ledgers: both change in one transaction, so that the one is always the sum of the other.

use kernel::ports::reservations::{Answered, ChargeOutcome, ChargeWish, Entry, Money, Page, PageRange};
use kernel::reservation::{Currency, Owner, decide};
use kernel::words::{RoomId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::catalogue::limit;
use super::changes::keep;
use super::rows::{currency_at, int, kind_at, page, time, time_at, uint};
use super::{Fault, holds, keys};

pub fn balance(db: &Connection, owner: &Owner) -> Result<Money, Fault> {
    let amount: Option<i64> = db
        .prepare_cached("SELECT amount_minor FROM balances WHERE room = ? AND sub = ?")?
        .query_row([owner.room.as_str(), &owner.sub], |row| row.get(0))
        .optional()?;
    Ok(Money { amount_minor: amount.unwrap_or(0), currency: currency_of(db, &owner.room)? })
}

pub fn charge(db: &Connection, wish: &ChargeWish, now: Timestamp) -> Result<Answered<ChargeOutcome>, Fault> {
    let owner = wish.caller.owner();
    keys::once(db, owner, Some(&wish.key), now, || {
        let ended =
            wish.caller.number().map(|number| holds::has_ended(db, &owner.room, number)).transpose()?;
        let Some(slot) = decide::inside(&wish.caller, ended.unwrap_or(true), now) else {
            return Ok(ChargeOutcome::SlotEnded);
        };
        let currency = fix_currency(db, &owner.room, Currency::DEFAULT)?;
        let money = Money { currency, ..balance(db, owner)? };
        keep(db, decide::charge(wish, slot, money, now), now)
    })
}

pub fn ledger(db: &Connection, owner: &Owner, range: PageRange) -> Result<Page<Entry>, Fault> {
    let mut rows = db.prepare_cached(
        "SELECT entry, amount_minor, kind, reference, made_at FROM ledger
         WHERE room = ? AND sub = ? AND entry < ? ORDER BY entry DESC LIMIT ?",
    )?;
    let before = range.after.map_or(i64::MAX, int);
    let rows = rows.query_map(params![owner.room.as_str(), owner.sub, before, limit(range)], |row| {
        let entry = Entry {
            amount_minor: row.get(1)?,
            kind: kind_at(row, 2)?,
            reference: row.get(3)?,
            at: time_at(row, 4)?,
        };
        Ok((row.get(0).map(uint)?, entry))
    })?;
    Ok(page(rows.collect::<Result<_, _>>()?, range))
}

/// Writes one line, and the balance after it.
pub fn book(db: &Connection, owner: &Owner, entry: &Entry, balance_after: i64) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO ledger (room, sub, amount_minor, kind, reference, made_at) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        owner.room.as_str(),
        owner.sub,
        entry.amount_minor,
        entry.kind.as_str(),
        entry.reference,
        time(entry.at)
    ])?;
    db.prepare_cached(
        "INSERT INTO balances (room, sub, amount_minor) VALUES (?1, ?2, ?3)
         ON CONFLICT (room, sub) DO UPDATE SET amount_minor = ?3",
    )?
    .execute(params![owner.room.as_str(), owner.sub, balance_after])?;
    Ok(())
}

/// The currency the room sells in; `wanted` from now on, where none was fixed before.
pub fn fix_currency(db: &Connection, room: &RoomId, wanted: Currency) -> Result<Currency, Fault> {
    db.prepare_cached("INSERT OR IGNORE INTO rooms (room, currency) VALUES (?, ?)")?
        .execute([room.as_str(), wanted.as_str()])?;
    currency_of(db, room)
}

fn currency_of(db: &Connection, room: &RoomId) -> Result<Currency, Fault> {
    let currency = db
        .prepare_cached("SELECT currency FROM rooms WHERE room = ?")?
        .query_row([room.as_str()], |row| currency_at(row, 0))
        .optional()?;
    Ok(currency.unwrap_or(Currency::DEFAULT))
}
