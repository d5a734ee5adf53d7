//! What happened and is yet to be told, in order; and the forgetting of what nobody asks for any more.

use kernel::event::Record;
use kernel::ports::reservations::OutboxEntry;
use kernel::words::{RoomId, Timestamp};
use rusqlite::{Connection, params};

use super::Fault;
use super::rows::{int, room_at, time, time_at, uint};

pub fn add(db: &Connection, record: &Record) -> Result<(), Fault> {
    let event = serde_json::to_string(&record.event).map_err(|error| Fault::Broken(error.to_string()))?;
    db.prepare_cached(
        "INSERT OR IGNORE INTO outbox (event_id, room, traceparent, event, made_at) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![record.id, record.room.as_str(), record.traceparent, event, time(record.at)])?;
    Ok(())
}

pub fn unpublished(db: &Connection, limit: usize) -> Result<Vec<OutboxEntry>, Fault> {
    let mut rows = db.prepare_cached(
        "SELECT entry, event_id, room, traceparent, event, made_at FROM outbox
         WHERE published_at IS NULL ORDER BY entry LIMIT ?",
    )?;
    let mut rows = rows.query([int(limit as u64)])?;
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
        entries.push(OutboxEntry { entry: row.get(0).map(uint)?, record });
    }
    Ok(entries)
}

pub fn published(db: &Connection, entries: &[u64], now: Timestamp) -> Result<(), Fault> {
    let mut mark = db.prepare_cached("UPDATE outbox SET published_at = ? WHERE entry = ?")?;
    for entry in entries {
        mark.execute([time(now), int(*entry)])?;
    }
    Ok(())
}

pub fn retell(db: &Connection, room: &RoomId, since: Timestamp) -> Result<u64, Fault> {
    let marked = db
        .prepare_cached("UPDATE outbox SET published_at = NULL WHERE room = ? AND published_at >= ?")?
        .execute(params![room.as_str(), time(since)])?;
    Ok(marked as u64)
}

pub fn prune(
    db: &Connection,
    done_before: Timestamp,
    kept_before: Timestamp,
    limit: usize,
) -> Result<bool, Fault> {
    let limit = int(limit as u64);
    let told = db
        .prepare_cached(
            "DELETE FROM outbox WHERE entry IN
             (SELECT entry FROM outbox WHERE published_at < ? ORDER BY published_at LIMIT ?)",
        )?
        .execute([time(done_before), limit])?;
    let worked = db
        .prepare_cached(
            "DELETE FROM inbox WHERE entry IN
             (SELECT entry FROM inbox WHERE handled_at < ? ORDER BY handled_at LIMIT ?)",
        )?
        .execute([time(done_before), limit])?;
    let keys = db
        .prepare_cached(
            "DELETE FROM call_keys WHERE (room, sub, operation, call_key) IN
             (SELECT room, sub, operation, call_key FROM call_keys WHERE made_at < ? ORDER BY made_at LIMIT ?)",
        )?
        .execute([time(kept_before), limit])?;
    let slots = db
        .prepare_cached(
            "DELETE FROM ended_slots WHERE (room, number) IN
             (SELECT room, number FROM ended_slots WHERE ended_at < ? ORDER BY ended_at LIMIT ?)",
        )?
        .execute([time(kept_before), limit])?;
    Ok([told, worked, keys, slots].into_iter().any(|count| int(count as u64) == limit))
}
