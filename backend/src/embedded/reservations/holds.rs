//! Seats held by visitors inside.

use kernel::ports::reservations::{
    Answered, Caller, GiveBackOutcome, HoldOutcome, HoldWish, OwnWish, Reservation,
};
use kernel::reservation::hold::{Input, Next, NoHold, may_hold, step};
use kernel::reservation::{Hold, Owner, SeatState, Slot};
use kernel::words::{Number, RoomId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{RESERVATION, currency_at, int, reservation, room_at, time};
use super::{Fault, keys};

pub fn hold(db: &Connection, wish: &HoldWish, now: Timestamp) -> Result<Answered<HoldOutcome>, Fault> {
    keys::once(db, wish.caller.owner(), wish.key.as_ref(), now, || hold_new(db, wish, now))
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
        let Some(reservation) = of_owner(db, &wish.owner, &wish.id)? else {
            return Ok(GiveBackOutcome::Unknown);
        };
        match step(reservation.hold, Input::GiveBack, now) {
            Err(refusal) => return Ok(GiveBackOutcome::Refused(refusal)),
            Ok(Next::Same) => {}
            Ok(Next::Became(hold)) => store(db, &reservation.reservation_id, hold, None)?,
        }
        Ok(GiveBackOutcome::Over { performance_id: reservation.performance_id })
    })
}

pub fn end_slot(
    db: &Connection,
    room: &RoomId,
    number: Number,
    now: Timestamp,
) -> Result<Vec<String>, Fault> {
    // A slot that paid was ended with its payment; writing nothing then spares the disk.
    db.prepare_cached("INSERT OR IGNORE INTO ended_slots (room, number, ended_at) VALUES (?, ?, ?)")?
        .execute(params![room.as_str(), int(number), time(now)])?;
    move_all(db, &held_by(db, room, number)?, Input::SlotEnded, now)
}

pub fn extend_slot(
    db: &Connection,
    room: &RoomId,
    number: Number,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    move_all(db, &held_by(db, room, number)?, Input::Extend { expires_at }, now).map(|_| ())
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
    move_all(db, &due, Input::Sweep, now)
}

/// Whether the slot is known to have ended.
pub fn has_ended(db: &Connection, slot: &Slot, now: Timestamp) -> Result<bool, Fault> {
    if now >= slot.expires_at {
        return Ok(true);
    }
    let ended = db
        .prepare_cached("SELECT 1 FROM ended_slots WHERE room = ? AND number = ?")?
        .query_row(params![slot.owner.room.as_str(), int(slot.number)], |_| Ok(()))
        .optional()?;
    Ok(ended.is_some())
}

/// Writes down what a reservation became.
pub fn store(
    db: &Connection,
    reservation_id: &str,
    hold: Hold,
    payment_id: Option<&str>,
) -> Result<(), Fault> {
    let (reason, expires_at) = match hold {
        Hold::Held { expires_at } => (None, Some(time(expires_at))),
        Hold::Released { reason } => (Some(reason.as_str()), None),
        Hold::Confirmed | Hold::Cancelled => (None, None),
    };
    db.prepare_cached(
        "UPDATE reservations SET state = ?, reason = ?, expires_at = ?, payment_id = ? WHERE reservation_id = ?",
    )?
    .execute(params![hold.as_str(), reason, expires_at, payment_id, reservation_id])?;
    Ok(())
}

/// A seat somebody wishes to hold.
struct Wanted {
    place: i64,
    amount_minor: i64,
    currency: String,
}

fn hold_new(db: &Connection, wish: &HoldWish, now: Timestamp) -> Result<HoldOutcome, Fault> {
    let Caller::Inside(slot) = &wish.caller else { return Ok(HoldOutcome::SlotEnded) };
    let wanted = match wanted(db, wish, slot)? {
        Ok(wanted) => wanted,
        Err(outcome) => return Ok(outcome),
    };
    if has_ended(db, slot, now)? {
        return Ok(HoldOutcome::SlotEnded);
    }
    let seat = clear_seat(db, &wish.performance_id, wanted.place, now)?;
    let held = held_by(db, &slot.owner.room, slot.number)?;
    let living = held.iter().filter(|one| one.hold.seat(now) == SeatState::Held).count() as u64;
    match may_hold(seat, living, wish.max_holds) {
        Ok(()) => {}
        Err(NoHold::SeatTaken) => return Ok(HoldOutcome::SeatTaken),
        Err(NoHold::Limit) => return Ok(HoldOutcome::Limit),
    }
    insert(db, wish, slot, &wanted, now)?;
    let made = of_owner(db, &slot.owner, &wish.reservation_id)?;
    made.map(HoldOutcome::Held).ok_or_else(|| Fault::Broken("a hold that was made is not there".to_owned()))
}

fn wanted(db: &Connection, wish: &HoldWish, slot: &Slot) -> Result<Result<Wanted, HoldOutcome>, Fault> {
    let concert = db
        .prepare_cached(
            "SELECT room, currency FROM performances JOIN concerts USING (concert_id) WHERE performance_id = ?",
        )?
        .query_row([&wish.performance_id], |row| Ok((room_at(row, 0)?, currency_at(row, 1)?)))
        .optional()?;
    let Some((room, currency)) = concert else { return Ok(Err(HoldOutcome::UnknownPerformance)) };
    if room != slot.owner.room {
        return Ok(Err(HoldOutcome::WrongRoom));
    }
    let read = |row: &Row<'_>| {
        Ok(Wanted { place: row.get(0)?, amount_minor: row.get(1)?, currency: currency.to_string() })
    };
    let seat = db
        .prepare_cached("SELECT place, amount_minor FROM seats WHERE performance_id = ? AND seat_id = ?")?
        .query_row([&wish.performance_id, &wish.seat_id], read)
        .optional()?;
    Ok(seat.ok_or(HoldOutcome::UnknownSeat))
}

/// What the seat is now; a hold on it that ran out is written down as over, to make room.
fn clear_seat(db: &Connection, performance_id: &str, place: i64, now: Timestamp) -> Result<SeatState, Fault> {
    let sql = format!(
        "SELECT {RESERVATION} FROM reservations
         WHERE performance_id = ? AND place = ? AND state IN ('held', 'confirmed')"
    );
    let there = db.prepare_cached(&sql)?.query_row(params![performance_id, place], reservation).optional()?;
    let Some(there) = there else { return Ok(SeatState::Free) };
    let hold = there.hold;
    move_all(db, &[there], Input::Sweep, now)?;
    Ok(hold.seat(now))
}

fn insert(
    db: &Connection,
    wish: &HoldWish,
    slot: &Slot,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO reservations (reservation_id, room, sub, number, performance_id, place, seat_id,
                                   amount_minor, currency, state, expires_at, made_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'held', ?, ?)",
    )?
    .execute(params![
        wish.reservation_id,
        slot.owner.room.as_str(),
        slot.owner.sub,
        int(slot.number),
        wish.performance_id,
        wanted.place,
        wish.seat_id,
        wanted.amount_minor,
        wanted.currency,
        time(slot.expires_at),
        time(now),
    ])?;
    Ok(())
}

fn held_by(db: &Connection, room: &RoomId, number: Number) -> Result<Vec<Reservation>, Fault> {
    let sql =
        format!("SELECT {RESERVATION} FROM reservations WHERE room = ? AND number = ? AND state = 'held'");
    let mut rows = db.prepare_cached(&sql)?;
    let rows = rows.query_map(params![room.as_str(), int(number)], reservation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives unpaid reservations one input; answers the performances of those that changed.
fn move_all(
    db: &Connection,
    reservations: &[Reservation],
    input: Input,
    now: Timestamp,
) -> Result<Vec<String>, Fault> {
    let mut changed = Vec::new();
    for reservation in reservations {
        if let Ok(Next::Became(hold)) = step(reservation.hold, input, now) {
            store(db, &reservation.reservation_id, hold, reservation.payment_id.as_deref())?;
            changed.push(reservation.performance_id.clone());
        }
    }
    changed.dedup();
    Ok(changed)
}
