//! What happened and is yet to be told; and the forgetting of what nobody asks for any more.

use kernel::event::{Event, Record};
use kernel::ports::reservations::OutboxEntry;
use kernel::words::{Digest, RoomId, Timestamp};
use sqlx::{PgConnection, Row};

use super::rows::{room_at, time, time_at, uint_at};
use crate::cluster::postgres::database::int;
use crate::cluster::postgres::fault::Fault;

/// Parts that several replicas may tell at a time.
const PARTS: u8 = 8;

/// The part that tells this story, always the same.
pub fn part_of(event: &Event) -> u8 {
    Digest::of(&[event.story().as_bytes()]).0[0] % PARTS
}

/// Parts in which something is to be told, that with the oldest first.
pub async fn parts(db: &mut PgConnection) -> Result<Vec<u8>, Fault> {
    let parts: Vec<i16> = sqlx::query_scalar(
        "SELECT part FROM outbox WHERE published_at IS NULL GROUP BY part ORDER BY min(entry)",
    )
    .fetch_all(db)
    .await?;
    Ok(parts.into_iter().filter_map(|part| u8::try_from(part).ok()).collect())
}

/// An entry that was committed late, below others that were told before it, is among them as soon as it is
/// there: what is told is marked one by one. What happens to one reservation is committed in the order of its
/// entries, because it waits for the reservation's or the payment's row.
pub async fn unpublished(db: &mut PgConnection, part: u8, limit: usize) -> Result<Vec<OutboxEntry>, Fault> {
    let rows = sqlx::query(
        "SELECT entry, event_id, room, traceparent, event, made_at FROM outbox
         WHERE published_at IS NULL AND part = $1 ORDER BY entry LIMIT $2",
    )
    .bind(i16::from(part))
    .bind(int(limit as u64))
    .fetch_all(db)
    .await?;
    let read = |row| {
        let event: &str = Row::try_get(row, 4)?;
        let record = Record {
            id: Row::try_get(row, 1)?,
            room: room_at(row, 2)?,
            at: time_at(row, 5)?,
            traceparent: Row::try_get(row, 3)?,
            event: serde_json::from_str(event).map_err(|error| Fault::Broken(error.to_string()))?,
        };
        Ok(OutboxEntry { entry: uint_at(row, 0)?, record })
    };
    rows.iter().map(read).collect()
}

pub async fn published(db: &mut PgConnection, entries: &[u64], now: Timestamp) -> Result<(), Fault> {
    let entries: Vec<i64> = entries.iter().copied().map(int).collect();
    sqlx::query("UPDATE outbox SET published_at = $1 WHERE entry = ANY($2) AND published_at IS NULL")
        .bind(time(now))
        .bind(entries)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn retell(db: &mut PgConnection, room: &RoomId, since: Timestamp) -> Result<u64, Fault> {
    let marked = sqlx::query("UPDATE outbox SET published_at = NULL WHERE room = $1 AND published_at >= $2")
        .bind(room.as_str())
        .bind(time(since))
        .execute(db)
        .await?;
    Ok(marked.rows_affected())
}

/// What another replica is forgetting at this moment is left to it.
pub async fn prune(
    db: &mut PgConnection,
    done_before: Timestamp,
    kept_before: Timestamp,
    limit: usize,
) -> Result<bool, Fault> {
    let limit = limit as u64;
    let mut more = false;
    for (forget, before) in [
        (
            "DELETE FROM outbox WHERE entry = ANY (ARRAY(
                 SELECT entry FROM outbox WHERE published_at < $1
                 ORDER BY published_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            done_before,
        ),
        (
            "DELETE FROM inbox WHERE entry = ANY (ARRAY(
                 SELECT entry FROM inbox WHERE handled_at < $1
                 ORDER BY handled_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            done_before,
        ),
        (
            "DELETE FROM call_keys WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM call_keys WHERE made_at < $1
                 ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            kept_before,
        ),
        (
            "DELETE FROM ended_slots WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM ended_slots WHERE ended_at < $1
                 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            kept_before,
        ),
    ] {
        let forgotten = sqlx::query(forget).bind(time(before)).bind(int(limit)).execute(&mut *db).await?;
        more |= forgotten.rows_affected() == limit;
    }
    Ok(more)
}
