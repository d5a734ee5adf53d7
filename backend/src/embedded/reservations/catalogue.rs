//! What is for sale: concerts, their dates, their seats.

use kernel::ports::reservations::{Added, ConcertRow, DateRow, Page, PageRange, SeatPlan};
use kernel::reservation::{Concert, Seat, SeatState};
use kernel::words::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{currency_at, int, page, room_at, time, time_at, uint};
use super::{Fault, money};

pub fn add(db: &Connection, concert: &Concert, now: Timestamp) -> Result<Added, Fault> {
    let definition = concert.definition().0;
    let known: Option<Vec<u8>> = db
        .query_row("SELECT definition FROM concerts WHERE concert_id = ?", [&concert.id], |row| row.get(0))
        .optional()?;
    match known {
        Some(known) if known == definition => return Ok(Added::Already),
        Some(_) => return Ok(Added::Different),
        None => {}
    }
    let currency = money::fix_currency(db, &concert.room, concert.currency)?;
    if currency != concert.currency {
        return Ok(Added::OtherCurrency(currency));
    }
    for performance in &concert.performances {
        let id = &performance.performance_id;
        let taken = db.query_row("SELECT 1 FROM performances WHERE performance_id = ?", [id], |_| Ok(()));
        if taken.optional()?.is_some() {
            return Ok(Added::PerformanceTaken(id.clone()));
        }
    }
    db.execute(
        "INSERT INTO concerts (concert_id, title, room, currency, definition, added_at) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            concert.id,
            concert.title,
            concert.room.as_str(),
            concert.currency.as_str(),
            definition,
            time(now)
        ],
    )?;
    add_performances(db, concert)?;
    Ok(Added::New)
}

pub fn concerts(db: &Connection, range: PageRange) -> Result<Page<ConcertRow>, Fault> {
    let mut rows = db.prepare_cached(
        "SELECT entry, concert_id, title, room FROM concerts WHERE entry > ? ORDER BY entry LIMIT ?",
    )?;
    let rows = rows.query_map([int(range.after.unwrap_or(0)), limit(range)], |row| {
        let concert = ConcertRow { id: row.get(1)?, title: row.get(2)?, room: room_at(row, 3)? };
        Ok((row.get(0).map(uint)?, concert))
    })?;
    Ok(page(rows.collect::<Result<_, _>>()?, range))
}

pub fn dates(db: &Connection, concert_id: &str, now: Timestamp) -> Result<Option<Vec<DateRow>>, Fault> {
    let mut rows = db.prepare_cached(
        "SELECT performance_id, starts_at, seats - (
             SELECT count(*) FROM reservations taken
             WHERE taken.performance_id = performances.performance_id
               AND taken.state IN ('held', 'confirmed')
               AND (taken.state = 'confirmed' OR taken.expires_at > ?2))
         FROM performances WHERE concert_id = ?1 ORDER BY place",
    )?;
    let rows = rows.query_map(params![concert_id, time(now)], |row| {
        Ok(DateRow { performance_id: row.get(0)?, starts_at: time_at(row, 1)?, free: row.get(2).map(uint)? })
    })?;
    let dates: Vec<DateRow> = rows.collect::<Result<_, _>>()?;
    // Every concert has a performance.
    Ok(if dates.is_empty() { None } else { Some(dates) })
}

pub fn seat_plan(db: &Connection, performance_id: &str) -> Result<Option<SeatPlan>, Fault> {
    let concert = db
        .prepare_cached(
            "SELECT concert_id, room, currency FROM performances JOIN concerts USING (concert_id)
             WHERE performance_id = ?",
        )?
        .query_row([performance_id], |row| Ok((row.get(0)?, room_at(row, 1)?, currency_at(row, 2)?)))
        .optional()?;
    let Some((concert_id, room, currency)) = concert else { return Ok(None) };
    let mut rows = db.prepare_cached(
        "SELECT seat_id, label, amount_minor FROM seats WHERE performance_id = ? ORDER BY place",
    )?;
    let rows = rows.query_map([performance_id], |row| {
        Ok(Seat { seat_id: row.get(0)?, label: row.get(1)?, amount_minor: row.get(2)? })
    })?;
    Ok(Some(SeatPlan { concert_id, room, currency, seats: rows.collect::<Result<_, _>>()? }))
}

pub fn taken(
    db: &Connection,
    performance_id: &str,
    now: Timestamp,
) -> Result<Vec<(usize, SeatState)>, Fault> {
    let mut rows = db.prepare_cached(
        "SELECT place, state = 'confirmed' FROM reservations
         WHERE performance_id = ? AND state IN ('held', 'confirmed')
           AND (state = 'confirmed' OR expires_at > ?)",
    )?;
    let rows = rows.query_map(params![performance_id, time(now)], |row| {
        let state = if row.get(1)? { SeatState::Sold } else { SeatState::Held };
        Ok((row.get::<_, i64>(0)?, state))
    })?;
    let mut taken = Vec::new();
    for row in rows {
        let (place, state) = row?;
        taken.push((usize::try_from(place).unwrap_or(usize::MAX), state));
    }
    Ok(taken)
}

/// One row more than asked for tells whether the list goes on.
pub fn limit(range: PageRange) -> i64 {
    i64::try_from(range.limit).unwrap_or(i64::MAX - 1) + 1
}

fn add_performances(db: &Connection, concert: &Concert) -> Result<(), Fault> {
    let mut add_performance = db.prepare_cached(
        "INSERT INTO performances (performance_id, concert_id, place, starts_at, seats) VALUES (?, ?, ?, ?, ?)",
    )?;
    let mut add_seat = db.prepare_cached(
        "INSERT INTO seats (performance_id, place, seat_id, label, amount_minor) VALUES (?, ?, ?, ?, ?)",
    )?;
    for (place, performance) in concert.performances.iter().enumerate() {
        let id = &performance.performance_id;
        let (place, seats) = (int(place as u64), int(performance.seats.len() as u64));
        add_performance.execute(params![id, concert.id, place, time(performance.starts_at), seats])?;
        for (place, seat) in performance.seats.iter().enumerate() {
            add_seat.execute(params![id, int(place as u64), seat.seat_id, seat.label, seat.amount_minor])?;
        }
    }
    Ok(())
}
