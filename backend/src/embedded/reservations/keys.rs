//! Idempotency keys: an answer that changed something is kept in the transaction that changed it.

use kernel::ports::reservations::{Answered, CallKey, Outcome};
use kernel::reservation::Owner;
use kernel::words::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::Fault;
use super::rows::time;

/// Runs `work` unless the key says that it was done before.
pub fn once<T: Outcome>(
    db: &Connection,
    owner: &Owner,
    key: Option<&CallKey>,
    now: Timestamp,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<Answered<T>, Fault> {
    let Some(key) = key else { return work().map(Answered::Now) };
    let (room, operation) = (owner.room.as_str(), key.operation.as_str());
    let before: Option<(Vec<u8>, String)> = db
        .prepare_cached(
            "SELECT body, answer FROM call_keys WHERE room = ? AND sub = ? AND operation = ? AND call_key = ?",
        )?
        .query_row(params![room, owner.sub, operation, key.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((body, answer)) = before {
        if body != key.body.0 {
            return Ok(Answered::OtherBody);
        }
        let answer = serde_json::from_str(&answer).map_err(|error| Fault::Broken(error.to_string()))?;
        return Ok(Answered::Before(answer));
    }
    let outcome = work()?;
    if outcome.changed() {
        let answer = serde_json::to_string(&outcome).map_err(|error| Fault::Broken(error.to_string()))?;
        db.prepare_cached(
            "INSERT INTO call_keys (room, sub, operation, call_key, body, answer, made_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![room, owner.sub, operation, key.key, key.body.0, answer, time(now)])?;
    }
    Ok(Answered::Now(outcome))
}
