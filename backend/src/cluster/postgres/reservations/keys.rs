//! Idempotency keys: claimed before a call is judged, settled with its answer in the transaction that
//! changed something. Of two calls with one key at a time the later waits for the earlier one's end.

use kernel::ports::reservations::{Answered, CallKey, Outcome};
use kernel::reservation::Owner;
use kernel::words::Timestamp;
use sqlx::PgConnection;

use super::rows::time;
use crate::cluster::postgres::database::Done;
use crate::cluster::postgres::fault::Fault;

/// What an earlier call under the key was answered; none when the key is ours now, or there is none.
pub async fn claim<T: Outcome>(
    db: &mut PgConnection,
    owner: &Owner,
    key: Option<&CallKey>,
    now: Timestamp,
) -> Result<Option<Answered<T>>, Fault> {
    let Some(key) = key else { return Ok(None) };
    let claimed = sqlx::query(
        "INSERT INTO call_keys (room, sub, operation, call_key, body, answer, made_at)
         VALUES ($1, $2, $3, $4, $5, '', $6) ON CONFLICT DO NOTHING",
    )
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(key.operation.as_str())
    .bind(&key.key)
    .bind(key.body.0.as_slice())
    .bind(time(now))
    .execute(&mut *db)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let before: Option<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT body, answer FROM call_keys
         WHERE room = $1 AND sub = $2 AND operation = $3 AND call_key = $4",
    )
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(key.operation.as_str())
    .bind(&key.key)
    .fetch_optional(db)
    .await?;
    match before {
        // It was forgotten between the two statements.
        None => Err(Fault::Collided),
        Some((body, _)) if body != key.body.0 => Ok(Some(Answered::OtherBody)),
        Some((_, answer)) => {
            let answer = serde_json::from_str(&answer).map_err(|error| Fault::Broken(error.to_string()))?;
            Ok(Some(Answered::Before(answer)))
        }
    }
}

/// Keeps the answer under the key; an outcome that changed nothing is undone with its claim.
pub async fn settle<T: Outcome>(
    db: &mut PgConnection,
    owner: &Owner,
    key: Option<&CallKey>,
    outcome: T,
) -> Result<Done<Answered<T>>, Fault> {
    if !outcome.changed() {
        return Ok(Done::Undo(Answered::Now(outcome)));
    }
    if let Some(key) = key {
        let answer = serde_json::to_string(&outcome).map_err(|error| Fault::Broken(error.to_string()))?;
        sqlx::query(
            "UPDATE call_keys SET answer = $5
             WHERE room = $1 AND sub = $2 AND operation = $3 AND call_key = $4",
        )
        .bind(owner.room.as_str())
        .bind(&owner.sub)
        .bind(key.operation.as_str())
        .bind(&key.key)
        .bind(answer)
        .execute(db)
        .await?;
    }
    Ok(Done::Keep(Answered::Now(outcome)))
}
