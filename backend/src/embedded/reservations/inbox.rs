//! Events that were received and are yet to be worked on, in order.

use std::sync::Arc;

use kernel::event::Record;
use kernel::ports::reservations::InboxEntry;
use kernel::ports::{Delivery, Place};
use kernel::words::Timestamp;
use rusqlite::{Connection, params};

use super::Fault;
use super::rows::{int, room_at, time, time_at, uint};

pub fn receive(
    db: &Connection,
    consumer: &str,
    deliveries: &[Delivery],
    now: Timestamp,
) -> Result<(), Fault> {
    let mut keep = db.prepare_cached(
        "INSERT INTO inbox (consumer, event_id, room, traceparent, event, made_at, part, place, log_offset,
                            attempts, due_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
    )?;
    for Delivery { record, place, offset } in deliveries {
        let event = serde_json::to_string(&record.event).map_err(|error| Fault::Broken(error.to_string()))?;
        keep.execute(params![
            consumer,
            record.id,
            record.room.as_str(),
            record.traceparent,
            event,
            time(record.at),
            place.partition,
            int(place.offset),
            int(*offset),
            time(now),
        ])?;
    }
    Ok(())
}

pub fn due(db: &Connection, consumer: &str, now: Timestamp, limit: usize) -> Result<Vec<InboxEntry>, Fault> {
    let mut rows = db.prepare_cached(
        "SELECT entry, event_id, room, traceparent, event, made_at, part, place, log_offset, attempts
         FROM inbox due WHERE consumer = ?1 AND handled_at IS NULL AND due_at <= ?2
           AND NOT EXISTS (SELECT 1 FROM inbox earlier
                           WHERE earlier.consumer = due.consumer AND earlier.room = due.room
                             AND earlier.entry < due.entry AND earlier.handled_at IS NULL
                             AND earlier.attempts > 0 AND earlier.due_at > ?2)
         ORDER BY entry LIMIT ?3",
    )?;
    let mut rows = rows.query(params![consumer, time(now), int(limit as u64)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let event: String = row.get(4)?;
        let record = Record {
            id: row.get(1)?,
            room: room_at(row, 2)?,
            at: time_at(row, 5)?,
            traceparent: row.get(3)?,
            event: serde_json::from_str(&event).map_err(|error| Fault::Broken(error.to_string()))?,
        };
        let place = Place { partition: row.get(6)?, offset: row.get(7).map(uint)? };
        let offset = row.get(8).map(uint)?;
        entries.push(InboxEntry {
            entry: row.get(0).map(uint)?,
            delivery: Delivery { record: Arc::new(record), place, offset },
            attempts: row.get(9)?,
        });
    }
    Ok(entries)
}

pub fn handled(db: &Connection, entries: &[u64], now: Timestamp) -> Result<(), Fault> {
    let mut mark = db.prepare_cached("UPDATE inbox SET handled_at = ? WHERE entry = ?")?;
    for entry in entries {
        mark.execute([time(now), int(*entry)])?;
    }
    Ok(())
}

pub fn postponed(
    db: &Connection,
    entry: u64,
    error: &str,
    attempts: u32,
    due_at: Timestamp,
) -> Result<(), Fault> {
    db.prepare_cached("UPDATE inbox SET attempts = ?, error = ?, due_at = ? WHERE entry = ?")?
        .execute(params![attempts, error, time(due_at), int(entry)])?;
    Ok(())
}

pub fn discarded(db: &Connection, entry: u64) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM inbox WHERE entry = ?")?.execute([int(entry)])?;
    Ok(())
}
