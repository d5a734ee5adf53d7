//! Events that were received and are yet to be worked on, in order.

use std::sync::Arc;

use kernel::event::Record;
use kernel::ports::reservations::InboxEntry;
use kernel::ports::{Delivery, Place};
use kernel::words::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::rows::{room_at, time, time_at, uint_at};
use crate::cluster::postgres::database::int;
use crate::cluster::postgres::fault::Fault;

/// One statement for all of them; what is kept already is left as it is.
pub async fn receive(
    db: &mut PgConnection,
    consumer: &str,
    deliveries: &[Delivery],
    now: Timestamp,
) -> Result<(), Fault> {
    let events: Vec<String> = deliveries
        .iter()
        .map(|one| serde_json::to_string(&one.record.event))
        .collect::<Result<_, _>>()
        .map_err(|error| Fault::Broken(error.to_string()))?;
    let records = || deliveries.iter().map(|one| &*one.record);
    sqlx::query(
        "INSERT INTO inbox (consumer, event_id, room, traceparent, event, made_at, part, place, log_offset,
                            attempts, due_at)
         SELECT $1, event_id, room, traceparent, event, made_at, part, place, log_offset, 0, $2
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[]) WITH ORDINALITY
              AS received (event_id, room, traceparent, event, made_at, part, place, log_offset, nth)
         ORDER BY nth
         ON CONFLICT (consumer, event_id) DO NOTHING",
    )
    .bind(consumer)
    .bind(time(now))
    .bind(records().map(|record| record.id.as_str()).collect::<Vec<_>>())
    .bind(records().map(|record| record.room.as_str()).collect::<Vec<_>>())
    .bind(records().map(|record| record.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(events)
    .bind(records().map(|record| time(record.at)).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|one| i64::from(one.place.partition)).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|one| int(one.place.offset)).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|one| int(one.offset)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

pub async fn due(
    db: &mut PgConnection,
    consumer: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<InboxEntry>, Fault> {
    let rows = sqlx::query(
        "SELECT entry, event_id, room, traceparent, event, made_at, part, place, log_offset, attempts
         FROM inbox due WHERE consumer = $1 AND handled_at IS NULL AND due_at <= $2
           AND NOT EXISTS (SELECT 1 FROM inbox earlier
                           WHERE earlier.consumer = due.consumer AND earlier.room = due.room
                             AND earlier.entry < due.entry AND earlier.handled_at IS NULL
                             AND earlier.attempts > 0 AND earlier.due_at > $2)
         ORDER BY entry LIMIT $3",
    )
    .bind(consumer)
    .bind(time(now))
    .bind(int(limit as u64))
    .fetch_all(db)
    .await?;
    rows.iter().map(read).collect()
}

pub async fn handled(db: &mut PgConnection, entries: &[u64], now: Timestamp) -> Result<(), Fault> {
    let entries: Vec<i64> = entries.iter().copied().map(int).collect();
    sqlx::query("UPDATE inbox SET handled_at = $1 WHERE entry = ANY($2) AND handled_at IS NULL")
        .bind(time(now))
        .bind(entries)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn postponed(
    db: &mut PgConnection,
    entry: u64,
    error: &str,
    attempts: u32,
    due_at: Timestamp,
) -> Result<(), Fault> {
    sqlx::query("UPDATE inbox SET attempts = $2, error = $3, due_at = $4 WHERE entry = $1")
        .bind(int(entry))
        .bind(i64::from(attempts))
        .bind(error)
        .bind(time(due_at))
        .execute(db)
        .await?;
    Ok(())
}

pub async fn discarded(db: &mut PgConnection, entry: u64) -> Result<(), Fault> {
    sqlx::query("DELETE FROM inbox WHERE entry = $1").bind(int(entry)).execute(db).await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<InboxEntry, Fault> {
    let event: &str = row.try_get(4)?;
    let record = Record {
        id: row.try_get(1)?,
        room: room_at(row, 2)?,
        at: time_at(row, 5)?,
        traceparent: row.try_get(3)?,
        event: serde_json::from_str(event).map_err(|error| Fault::Broken(error.to_string()))?,
    };
    let small = |column| Ok::<_, Fault>(u32::try_from(uint_at(row, column)?).unwrap_or(u32::MAX));
    let place = Place { partition: small(6)?, offset: uint_at(row, 7)? };
    Ok(InboxEntry {
        entry: uint_at(row, 0)?,
        delivery: Delivery { record: Arc::new(record), place, offset: uint_at(row, 8)? },
        attempts: small(9)?,
    })
}
