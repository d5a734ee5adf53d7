//! What is for sale: concerts, their dates, their seats.

use kernel::ports::reservations::{Added, ConcertRow, DateRow, Page, PageRange, SeatPlan};
use kernel::reservation::{Concert, Performance, Seat, SeatState};
use kernel::words::Timestamp;
use sqlx::{PgConnection, Row};

use super::money;
use super::rows::{currency_at, limit, page, room_at, time, time_at, uint_at};
use crate::cluster::postgres::database::{Done, int};
use crate::cluster::postgres::fault::Fault;

/// Seats written in one statement, so that none takes long.
const SEATS_AT_ONCE: usize = 5_000;

/// Of replicas that add one concert at a time, one adds it and the others find it there.
pub async fn add(db: &mut PgConnection, concert: &Concert, now: Timestamp) -> Result<Done<Added>, Fault> {
    let definition = concert.definition().0;
    let known: Option<Vec<u8>> = sqlx::query_scalar("SELECT definition FROM concerts WHERE concert_id = $1")
        .bind(&concert.id)
        .fetch_optional(&mut *db)
        .await?;
    match known {
        Some(known) if known == definition => return Ok(Done::Undo(Added::Already)),
        Some(_) => return Ok(Done::Undo(Added::Different)),
        None => {}
    }
    let currency = money::fix_currency(db, &concert.room, concert.currency).await?;
    if currency != concert.currency {
        return Ok(Done::Undo(Added::OtherCurrency(currency)));
    }
    let ids: Vec<&str> = concert.performances.iter().map(|one| one.performance_id.as_str()).collect();
    let taken: Vec<String> =
        sqlx::query_scalar("SELECT performance_id FROM performances WHERE performance_id = ANY($1)")
            .bind(&ids)
            .fetch_all(&mut *db)
            .await?;
    if let Some(first) = ids.iter().find(|id| taken.iter().any(|taken| taken == *id)) {
        return Ok(Done::Undo(Added::PerformanceTaken((*first).to_owned())));
    }
    sqlx::query(
        "INSERT INTO concerts (concert_id, title, room, currency, definition, added_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&concert.id)
    .bind(&concert.title)
    .bind(concert.room.as_str())
    .bind(concert.currency.as_str())
    .bind(definition.as_slice())
    .bind(time(now))
    .execute(&mut *db)
    .await?;
    for (place, performance) in concert.performances.iter().enumerate() {
        add_performance(db, &concert.id, place, performance).await?;
    }
    Ok(Done::Keep(Added::New))
}

pub async fn concerts(db: &mut PgConnection, range: PageRange) -> Result<Page<ConcertRow>, Fault> {
    let rows = sqlx::query(
        "SELECT entry, concert_id, title, room FROM concerts WHERE entry > $1 ORDER BY entry LIMIT $2",
    )
    .bind(int(range.after.unwrap_or(0)))
    .bind(limit(range))
    .fetch_all(db)
    .await?;
    let read = |row| {
        let concert =
            ConcertRow { id: Row::try_get(row, 1)?, title: Row::try_get(row, 2)?, room: room_at(row, 3)? };
        Ok((uint_at(row, 0)?, concert))
    };
    Ok(page(rows.iter().map(read).collect::<Result<_, Fault>>()?, range))
}

pub async fn dates(
    db: &mut PgConnection,
    concert_id: &str,
    now: Timestamp,
) -> Result<Option<Vec<DateRow>>, Fault> {
    let rows = sqlx::query(
        "SELECT performance_id, starts_at, seats - (
             SELECT count(*) FROM reservations taken
             WHERE taken.performance_id = performances.performance_id
               AND taken.state IN ('held', 'confirmed')
               AND (taken.state = 'confirmed' OR taken.expires_at > $2))
         FROM performances WHERE concert_id = $1 ORDER BY place",
    )
    .bind(concert_id)
    .bind(time(now))
    .fetch_all(db)
    .await?;
    let read = |row| {
        Ok(DateRow {
            performance_id: Row::try_get(row, 0)?,
            starts_at: time_at(row, 1)?,
            free: uint_at(row, 2)?,
        })
    };
    let dates = rows.iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    // Every concert has a performance.
    Ok(if dates.is_empty() { None } else { Some(dates) })
}

pub async fn seat_plan(db: &mut PgConnection, performance_id: &str) -> Result<Option<SeatPlan>, Fault> {
    let concert = sqlx::query(
        "SELECT concert_id, room, currency FROM performances JOIN concerts USING (concert_id)
         WHERE performance_id = $1",
    )
    .bind(performance_id)
    .fetch_optional(&mut *db)
    .await?;
    let Some(concert) = concert else { return Ok(None) };
    let rows = sqlx::query(
        "SELECT seat_id, label, amount_minor FROM seats WHERE performance_id = $1 ORDER BY place",
    )
    .bind(performance_id)
    .fetch_all(db)
    .await?;
    let read = |row| {
        Ok(Seat {
            seat_id: Row::try_get(row, 0)?,
            label: Row::try_get(row, 1)?,
            amount_minor: Row::try_get(row, 2)?,
        })
    };
    Ok(Some(SeatPlan {
        concert_id: concert.try_get(0)?,
        room: room_at(&concert, 1)?,
        currency: currency_at(&concert, 2)?,
        seats: rows.iter().map(read).collect::<Result<_, Fault>>()?,
    }))
}

pub async fn taken(
    db: &mut PgConnection,
    performance_id: &str,
    now: Timestamp,
) -> Result<Vec<(usize, SeatState)>, Fault> {
    let rows: Vec<(i64, bool)> = sqlx::query_as(
        "SELECT place, state = 'confirmed' FROM reservations
         WHERE performance_id = $1 AND state IN ('held', 'confirmed')
           AND (state = 'confirmed' OR expires_at > $2)",
    )
    .bind(performance_id)
    .bind(time(now))
    .fetch_all(db)
    .await?;
    let read = |(place, sold)| {
        let state = if sold { SeatState::Sold } else { SeatState::Held };
        (usize::try_from(place).unwrap_or(usize::MAX), state)
    };
    Ok(rows.into_iter().map(read).collect())
}

async fn add_performance(
    db: &mut PgConnection,
    concert_id: &str,
    place: usize,
    performance: &Performance,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO performances (performance_id, concert_id, place, starts_at, seats)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&performance.performance_id)
    .bind(concert_id)
    .bind(int(place as u64))
    .bind(time(performance.starts_at))
    .bind(int(performance.seats.len() as u64))
    .execute(&mut *db)
    .await?;
    for (part, seats) in performance.seats.chunks(SEATS_AT_ONCE).enumerate() {
        add_seats(db, &performance.performance_id, part * SEATS_AT_ONCE, seats).await?;
    }
    Ok(())
}

async fn add_seats(
    db: &mut PgConnection,
    performance_id: &str,
    first: usize,
    seats: &[Seat],
) -> Result<(), Fault> {
    let read = |seat: &Seat| (seat.seat_id.clone(), (seat.label.clone(), seat.amount_minor));
    let (ids, (labels, amounts)): (Vec<String>, (Vec<String>, Vec<i64>)) = seats.iter().map(read).unzip();
    sqlx::query(
        "INSERT INTO seats (performance_id, place, seat_id, label, amount_minor)
         SELECT $1, $2 + nth - 1, seat_id, label, amount_minor
         FROM unnest($3::text[], $4::text[], $5::bigint[])
              WITH ORDINALITY AS plan (seat_id, label, amount_minor, nth)",
    )
    .bind(performance_id)
    .bind(int(first as u64))
    .bind(ids)
    .bind(labels)
    .bind(amounts)
    .execute(db)
    .await?;
    Ok(())
}
