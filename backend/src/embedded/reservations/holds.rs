//! Seats held by visitors inside.

use kernel::ports::reservations::{Answered, GiveBackOutcome, HoldOutcome, HoldWish, OwnWish, Reservation};
use kernel::reservation::Owner;
use kernel::reservation::decide::{self, HoldFacts, Offer};
use kernel::reservation::hold::Input;
use kernel::words::{Number, RoomId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::changes::keep;
use super::rows::{RESERVATION, currency_at, int, reservation, room_at, time, uint};
use super::{Fault, keys};

pub fn hold(db: &Connection, wish: &HoldWish, now: Timestamp) -> Result<Answered<HoldOutcome>, Fault> {
    let owner = wish.caller.owner();
    keys::once(db, owner, wish.key.as_ref(), now, || {
        let offer = offer(db, &wish.performance_id, &wish.seat_id)?;
        let place = offer.as_ref().and_then(|offer| offer.seat).map(|(place, _)| place);
        let there = place.map(|place| on_seat(db, &wish.performance_id, place)).transpose()?.flatten();
        let facts = match wish.caller.number() {
            Some(number) => HoldFacts {
                offer,
                slot_ended: has_ended(db, &owner.room, number)?,
                there,
                held: held_by(db, &owner.room, number)?,
            },
            None => HoldFacts { offer, slot_ended: true, there, held: Vec::new() },
        };
        keep(db, decide::hold(wish, facts, now), now)
    })
}

pub fn of_owner(db: &Connection, owner: &Owner, reservation_id: &str) -> Result<Option<Reservation>, Fault> {
    let sql =
        format!("SELECT {RESERVATION} FROM reservations WHERE reservation_id = ? AND room = ? AND sub = ?");
    let found = db
        .prepare_cached(&sql)?
        .query_row(params![reservation_id, owner.room.as_str(), owner.sub], reservation)
        .optional()?;
    Ok(found)
}

pub fn give_back(
    db: &Connection,
    wish: &OwnWish,
    now: Timestamp,
) -> Result<Answered<GiveBackOutcome>, Fault> {
    keys::once(db, &wish.owner, wish.key.as_ref(), now, || {
        keep(db, decide::give_back(wish, of_owner(db, &wish.owner, &wish.id)?, now), now)
    })
}

pub fn end_slot(
    db: &Connection,
    room: &RoomId,
    number: Number,
    now: Timestamp,
) -> Result<Vec<String>, Fault> {
    keep(db, decide::end_slot(room, number, &held_by(db, room, number)?, now), now)
}

pub fn extend_slot(
    db: &Connection,
    room: &RoomId,
    number: Number,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    let extended = decide::give_all(&held_by(db, room, number)?, Input::Extend { expires_at }, now);
    keep(db, extended, now).map(|_| ())
}

pub fn nothing_due(db: &Connection, now: Timestamp) -> Result<bool, Fault> {
    let due = db
        .prepare_cached("SELECT 1 FROM reservations WHERE state = 'held' AND expires_at <= ? LIMIT 1")?
        .query_row([time(now)], |_| Ok(()))
        .optional()?;
    Ok(due.is_none())
}

pub fn sweep(db: &Connection, now: Timestamp, limit: usize) -> Result<Vec<String>, Fault> {
    let sql = format!(
        "SELECT {RESERVATION} FROM reservations WHERE state = 'held' AND expires_at <= ?
         ORDER BY expires_at LIMIT ?"
    );
    let due = {
        let mut rows = db.prepare_cached(&sql)?;
        let rows = rows.query_map([time(now), int(limit as u64)], reservation)?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    keep(db, decide::give_all(&due, Input::Sweep, now), now)
}

/// Whether the slot is among the ended ones.
pub fn has_ended(db: &Connection, room: &RoomId, number: Number) -> Result<bool, Fault> {
    let ended = db
        .prepare_cached("SELECT 1 FROM ended_slots WHERE room = ? AND number = ?")?
        .query_row(params![room.as_str(), int(number)], |_| Ok(()))
        .optional()?;
    Ok(ended.is_some())
}

pub fn held_by(db: &Connection, room: &RoomId, number: Number) -> Result<Vec<Reservation>, Fault> {
    let sql =
        format!("SELECT {RESERVATION} FROM reservations WHERE room = ? AND number = ? AND state = 'held'");
    let mut rows = db.prepare_cached(&sql)?;
    let rows = rows.query_map(params![room.as_str(), int(number)], reservation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn offer(db: &Connection, performance_id: &str, seat_id: &str) -> Result<Option<Offer>, Fault> {
    let concert = db
        .prepare_cached(
            "SELECT room, currency FROM performances JOIN concerts USING (concert_id) WHERE performance_id = ?",
        )?
        .query_row([performance_id], |row| Ok((room_at(row, 0)?, currency_at(row, 1)?)))
        .optional()?;
    let Some((room, currency)) = concert else { return Ok(None) };
    let seat = db
        .prepare_cached("SELECT place, amount_minor FROM seats WHERE performance_id = ? AND seat_id = ?")?
        .query_row([performance_id, seat_id], |row| Ok((row.get(0).map(uint)?, row.get(1)?)))
        .optional()?;
    Ok(Some(Offer { room, currency, seat }))
}

/// The reservation that holds or bought the seat, if its time is over too.
fn on_seat(db: &Connection, performance_id: &str, place: u64) -> Result<Option<Reservation>, Fault> {
    let sql = format!(
        "SELECT {RESERVATION} FROM reservations
         WHERE performance_id = ? AND place = ? AND state IN ('held', 'confirmed')"
    );
    let there = db.prepare_cached(&sql)?.query_row(params![performance_id, int(place)], reservation);
    Ok(there.optional()?)
}
