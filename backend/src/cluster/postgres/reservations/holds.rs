//! Seats held by visitors inside. Locks are taken in one order by all: key, slot, reservation, balance.

use kernel::ports::reservations::{Answered, GiveBackOutcome, HoldOutcome, HoldWish, OwnWish, Reservation};
use kernel::reservation::Owner;
use kernel::reservation::decide::{self, HoldFacts, Offer};
use kernel::reservation::hold::Input;
use kernel::words::{Number, RoomId, Timestamp};
use sqlx::{PgConnection, Row};

use super::changes::keep;
use super::keys;
use super::rows::{currency_at, reservation, reservation_columns, room_at, time};
use crate::cluster::postgres::database::{Done, int, uint};
use crate::cluster::postgres::fault::Fault;

pub async fn hold(
    db: &mut PgConnection,
    wish: &HoldWish,
    now: Timestamp,
) -> Result<Done<Answered<HoldOutcome>>, Fault> {
    let owner = wish.caller.owner();
    if let Some(before) = keys::claim(db, owner, wish.key.as_ref(), now).await? {
        return Ok(Done::Undo(before));
    }
    let (slot_ended, held) = match wish.caller.number() {
        Some(number) => {
            lock_slot(db, &owner.room, number).await?;
            (has_ended(db, &owner.room, number).await?, held_by(db, &owner.room, number).await?)
        }
        None => (true, Vec::new()),
    };
    let offer = offer(db, &wish.performance_id, &wish.seat_id).await?;
    let there = match offer.as_ref().and_then(|offer| offer.seat) {
        Some((place, _)) => on_seat(db, &wish.performance_id, place).await?,
        None => None,
    };
    let facts = HoldFacts { offer, slot_ended, there, held };
    let outcome = keep(db, decide::hold(wish, facts, now), now).await?;
    keys::settle(db, owner, wish.key.as_ref(), outcome).await
}

pub async fn of_owner(
    db: &mut PgConnection,
    owner: &Owner,
    reservation_id: &str,
) -> Result<Option<Reservation>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        reservation_columns!(),
        " FROM reservations WHERE reservation_id = $1 AND room = $2 AND sub = $3"
    ))
    .bind(reservation_id)
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .fetch_optional(db)
    .await?;
    found.as_ref().map(reservation).transpose()
}

/// The same, and nobody else changes it until the transaction ends.
pub async fn of_owner_locked(
    db: &mut PgConnection,
    owner: &Owner,
    reservation_id: &str,
) -> Result<Option<Reservation>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        reservation_columns!(),
        " FROM reservations WHERE reservation_id = $1 AND room = $2 AND sub = $3 FOR UPDATE"
    ))
    .bind(reservation_id)
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .fetch_optional(db)
    .await?;
    found.as_ref().map(reservation).transpose()
}

pub async fn give_back(
    db: &mut PgConnection,
    wish: &OwnWish,
    now: Timestamp,
) -> Result<Done<Answered<GiveBackOutcome>>, Fault> {
    if let Some(before) = keys::claim(db, &wish.owner, wish.key.as_ref(), now).await? {
        return Ok(Done::Undo(before));
    }
    let found = of_owner_locked(db, &wish.owner, &wish.id).await?;
    let outcome = keep(db, decide::give_back(wish, found, now), now).await?;
    keys::settle(db, &wish.owner, wish.key.as_ref(), outcome).await
}

pub async fn end_slot(
    db: &mut PgConnection,
    room: &RoomId,
    number: Number,
    now: Timestamp,
) -> Result<Done<Vec<String>>, Fault> {
    lock_slot(db, room, number).await?;
    let held = held_locked(db, room, number).await?;
    keep(db, decide::end_slot(room, number, &held, now), now).await.map(Done::Keep)
}

pub async fn extend_slot(
    db: &mut PgConnection,
    room: &RoomId,
    number: Number,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Done<()>, Fault> {
    lock_slot(db, room, number).await?;
    let held = held_locked(db, room, number).await?;
    keep(db, decide::give_all(&held, Input::Extend { expires_at }, now), now).await?;
    Ok(Done::Keep(()))
}

pub async fn nothing_due(db: &mut PgConnection, now: Timestamp) -> Result<bool, Fault> {
    let due: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM reservations WHERE state = 'held' AND expires_at <= $1)",
    )
    .bind(time(now))
    .fetch_one(db)
    .await?;
    Ok(!due)
}

/// Who is being worked on is left to whoever does, or to the next sweep.
pub async fn sweep(db: &mut PgConnection, now: Timestamp, limit: usize) -> Result<Done<Vec<String>>, Fault> {
    let due = sqlx::query(concat!(
        "SELECT ",
        reservation_columns!(),
        " FROM reservations WHERE state = 'held' AND expires_at <= $1
          ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    ))
    .bind(time(now))
    .bind(int(limit as u64))
    .fetch_all(&mut *db)
    .await?;
    let due = due.iter().map(reservation).collect::<Result<Vec<_>, _>>()?;
    keep(db, decide::give_all(&due, Input::Sweep, now), now).await.map(Done::Keep)
}

/// One transaction at a time works on a slot, from here to its end: what a slot holds is counted before a
/// hold is added, and a hold cannot slip in while the slot ends. Slots have no row of their own to lock.
pub async fn lock_slot(db: &mut PgConnection, room: &RoomId, number: Number) -> Result<(), Fault> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/slot/' || $1 || '/' || $2, 0))",
    )
    .bind(room.as_str())
    .bind(number.to_string())
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the slot is among the ended ones.
pub async fn has_ended(db: &mut PgConnection, room: &RoomId, number: Number) -> Result<bool, Fault> {
    let ended =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM ended_slots WHERE room = $1 AND number = $2)")
            .bind(room.as_str())
            .bind(int(number))
            .fetch_one(db)
            .await?;
    Ok(ended)
}

/// What the slot holds, and nobody else changes it until the transaction ends.
pub async fn held_locked(
    db: &mut PgConnection,
    room: &RoomId,
    number: Number,
) -> Result<Vec<Reservation>, Fault> {
    let held = concat!(
        "SELECT ",
        reservation_columns!(),
        " FROM reservations WHERE room = $1 AND number = $2 AND state = 'held' ORDER BY entry FOR UPDATE"
    );
    read_held(db, held, room, number).await
}

/// To be counted. Locking them too would let two who want each other's seats wait for one another.
async fn held_by(db: &mut PgConnection, room: &RoomId, number: Number) -> Result<Vec<Reservation>, Fault> {
    let held = concat!(
        "SELECT ",
        reservation_columns!(),
        " FROM reservations WHERE room = $1 AND number = $2 AND state = 'held'"
    );
    read_held(db, held, room, number).await
}

async fn read_held(
    db: &mut PgConnection,
    held: &'static str,
    room: &RoomId,
    number: Number,
) -> Result<Vec<Reservation>, Fault> {
    let held = sqlx::query(held).bind(room.as_str()).bind(int(number)).fetch_all(db).await?;
    held.iter().map(reservation).collect()
}

async fn offer(db: &mut PgConnection, performance_id: &str, seat_id: &str) -> Result<Option<Offer>, Fault> {
    let found = sqlx::query(
        "SELECT concerts.room, concerts.currency, seats.place, seats.amount_minor
         FROM performances JOIN concerts USING (concert_id)
              LEFT JOIN seats ON seats.performance_id = performances.performance_id AND seats.seat_id = $2
         WHERE performances.performance_id = $1",
    )
    .bind(performance_id)
    .bind(seat_id)
    .fetch_optional(db)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let (place, amount_minor): (Option<i64>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Some(Offer {
        room: room_at(&row, 0)?,
        currency: currency_at(&row, 1)?,
        seat: place.map(uint).zip(amount_minor),
    }))
}

/// The reservation that holds or bought the seat, if its time is over too.
async fn on_seat(
    db: &mut PgConnection,
    performance_id: &str,
    place: u64,
) -> Result<Option<Reservation>, Fault> {
    let there = sqlx::query(concat!(
        "SELECT ",
        reservation_columns!(),
        " FROM reservations
          WHERE performance_id = $1 AND place = $2 AND state IN ('held', 'confirmed') FOR UPDATE"
    ))
    .bind(performance_id)
    .bind(int(place))
    .fetch_optional(db)
    .await?;
    there.as_ref().map(reservation).transpose()
}
