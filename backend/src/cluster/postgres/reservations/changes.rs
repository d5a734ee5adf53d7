//! What the kernel decided, written down.

use kernel::crash;
use kernel::event::Record;
use kernel::ports::reservations::{Entry, PaymentRow, Reservation};
use kernel::reservation::decide::{Change, Decided};
use kernel::reservation::{Hold, Owner, Payment};
use kernel::words::Timestamp;
use sqlx::PgConnection;

use super::outbox::part_of;
use super::rows::time;
use crate::cluster::postgres::database::int;
use crate::cluster::postgres::fault::Fault;

/// Answers the outcome once its changes are written.
pub async fn keep<T>(db: &mut PgConnection, decided: Decided<T>, now: Timestamp) -> Result<T, Fault> {
    for change in &decided.changes {
        apply(db, change, now).await?;
        crash::written(change);
    }
    Ok(decided.outcome)
}

pub async fn apply(db: &mut PgConnection, change: &Change, now: Timestamp) -> Result<(), Fault> {
    match change {
        Change::Held { owner, place, reservation } => hold(db, owner, *place, reservation, now).await,
        Change::Moved { reservation_id, hold, payment_id } => {
            move_on(db, reservation_id, *hold, payment_id.as_deref()).await
        }
        Change::Paid { owner, payment } => pay(db, owner, payment).await,
        Change::PaymentMoved { payment_id, payment } => {
            sqlx::query("UPDATE payments SET state = $2, reason = $3, asked_at = $4 WHERE payment_id = $1")
                .bind(payment_id)
                .bind(payment.as_str())
                .bind(reason(*payment))
                .bind(time(now))
                .execute(db)
                .await?;
            Ok(())
        }
        Change::Booked { owner, entry, balance_after } => book(db, owner, entry, *balance_after).await,
        Change::SlotEnded { room, number } => {
            sqlx::query(
                "INSERT INTO ended_slots (room, number, ended_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(room.as_str())
            .bind(int(*number))
            .bind(time(now))
            .execute(db)
            .await?;
            Ok(())
        }
        Change::Told(record) => tell(db, record).await,
    }
}

async fn hold(
    db: &mut PgConnection,
    owner: &Owner,
    place: u64,
    reservation: &Reservation,
    now: Timestamp,
) -> Result<(), Fault> {
    let (state, reason, expires_at) = columns(reservation.hold);
    let made = sqlx::query(
        "INSERT INTO reservations (reservation_id, room, sub, number, performance_id, place, seat_id,
                                   amount_minor, currency, state, reason, expires_at, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (performance_id, place) WHERE state IN ('held', 'confirmed') DO NOTHING",
    )
    .bind(&reservation.reservation_id)
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(int(reservation.number))
    .bind(&reservation.performance_id)
    .bind(int(place))
    .bind(&reservation.seat_id)
    .bind(reservation.amount_minor)
    .bind(reservation.currency.as_str())
    .bind(state)
    .bind(reason)
    .bind(expires_at)
    .bind(time(now))
    .execute(db)
    .await?;
    // Somebody was quicker since we looked: look again.
    if made.rows_affected() == 1 { Ok(()) } else { Err(Fault::Collided) }
}

async fn move_on(
    db: &mut PgConnection,
    reservation_id: &str,
    hold: Hold,
    payment_id: Option<&str>,
) -> Result<(), Fault> {
    let (state, reason, expires_at) = columns(hold);
    sqlx::query(
        "UPDATE reservations SET state = $2, reason = $3, expires_at = $4, payment_id = $5
         WHERE reservation_id = $1",
    )
    .bind(reservation_id)
    .bind(state)
    .bind(reason)
    .bind(expires_at)
    .bind(payment_id)
    .execute(db)
    .await?;
    Ok(())
}

async fn pay(db: &mut PgConnection, owner: &Owner, row: &PaymentRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO payments (payment_id, room, sub, number, reservation_id, performance_id, seat_id,
                               amount_minor, currency, state, reason, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&row.payment_id)
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(int(row.number))
    .bind(&row.reservation_id)
    .bind(&row.performance_id)
    .bind(&row.seat_id)
    .bind(row.amount_minor)
    .bind(row.currency.as_str())
    .bind(row.payment.as_str())
    .bind(reason(row.payment))
    .bind(time(row.at))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes one line and the balance after it; whoever decided on the balance has its row locked.
async fn book(db: &mut PgConnection, owner: &Owner, entry: &Entry, balance_after: i64) -> Result<(), Fault> {
    let kept = sqlx::query(
        "WITH line AS (INSERT INTO ledger (room, sub, amount_minor, kind, reference, made_at)
                       VALUES ($1, $2, $3, $4, $5, $6))
         UPDATE balances SET amount_minor = $7 WHERE room = $1 AND sub = $2 AND amount_minor + $3 = $7",
    )
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(entry.amount_minor)
    .bind(entry.kind.as_str())
    .bind(&entry.reference)
    .bind(time(entry.at))
    .bind(balance_after)
    .execute(db)
    .await?;
    let whose = || format!("the balance of {} in {} is not what it was decided on", owner.sub, owner.room);
    if kept.rows_affected() == 1 { Ok(()) } else { Err(Fault::Broken(whose())) }
}

async fn tell(db: &mut PgConnection, record: &Record) -> Result<(), Fault> {
    let event = serde_json::to_string(&record.event).map_err(|error| Fault::Broken(error.to_string()))?;
    sqlx::query(
        "INSERT INTO outbox (event_id, room, traceparent, event, made_at, part)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(&record.id)
    .bind(record.room.as_str())
    .bind(record.traceparent.as_deref())
    .bind(event)
    .bind(time(record.at))
    .bind(i16::from(part_of(&record.event)))
    .execute(db)
    .await?;
    Ok(())
}

/// `state, reason, expires_at` of a reservation.
fn columns(hold: Hold) -> (&'static str, Option<&'static str>, Option<i64>) {
    match hold {
        Hold::Held { expires_at } => (hold.as_str(), None, Some(time(expires_at))),
        Hold::Released { reason } => (hold.as_str(), Some(reason.as_str()), None),
        Hold::Confirmed | Hold::Cancelled => (hold.as_str(), None, None),
    }
}

fn reason(payment: Payment) -> Option<&'static str> {
    match payment {
        Payment::Failed { reason } => Some(reason.as_str()),
        Payment::Completed | Payment::Cancelling | Payment::Cancelled => None,
    }
}
