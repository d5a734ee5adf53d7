//! Payments and their undoing: money, seat, slot and events change in one transaction.

use kernel::event::PaymentRef;
use kernel::ports::reservations::{
    Answered, CancelOutcome, Compensated, OwnWish, Page, PageRange, PayOutcome, PayWish, PaymentRow,
};
use kernel::reservation::Owner;
use kernel::reservation::decide::{self, PayFacts, UndoFacts};
use kernel::words::Timestamp;
use sqlx::{PgConnection, Row};

use super::changes::{apply, keep};
use super::rows::{limit, page, payment, payment_columns, room_at, time, uint_at};
use super::{holds, keys, money};
use crate::cluster::postgres::database::{Done, int};
use crate::cluster::postgres::fault::Fault;

pub async fn pay(
    db: &mut PgConnection,
    wish: &PayWish,
    now: Timestamp,
) -> Result<Done<Answered<PayOutcome>>, Fault> {
    let owner = wish.caller.owner();
    if let Some(before) = keys::claim(db, owner, Some(&wish.key), now).await? {
        return Ok(Done::Undo(before));
    }
    if let Some(number) = wish.caller.number() {
        holds::lock_slot(db, &owner.room, number).await?;
    }
    let reservation = holds::of_owner_locked(db, owner, &wish.reservation_id).await?;
    let (slot_ended, held) = match wish.caller.number() {
        Some(number) => (
            holds::has_ended(db, &owner.room, number).await?,
            holds::held_locked(db, &owner.room, number).await?,
        ),
        None => (true, Vec::new()),
    };
    let balance_minor = money::locked(db, owner).await?;
    let facts = PayFacts { reservation, slot_ended, balance_minor, held };
    let outcome = keep(db, decide::pay(wish, facts, now), now).await?;
    keys::settle(db, owner, Some(&wish.key), outcome).await
}

pub async fn of_owner(
    db: &mut PgConnection,
    owner: &Owner,
    payment_id: &str,
) -> Result<Option<PaymentRow>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        payment_columns!(),
        " FROM payments WHERE payment_id = $1 AND room = $2 AND sub = $3"
    ))
    .bind(payment_id)
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .fetch_optional(db)
    .await?;
    found.as_ref().map(payment).transpose()
}

pub async fn list(db: &mut PgConnection, owner: &Owner, range: PageRange) -> Result<Page<PaymentRow>, Fault> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        payment_columns!(),
        ", entry FROM payments WHERE room = $1 AND sub = $2 AND entry < $3 ORDER BY entry DESC LIMIT $4"
    ))
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(range.after.map_or(i64::MAX, int))
    .bind(limit(range))
    .fetch_all(db)
    .await?;
    let rows = rows.iter().map(|row| Ok((uint_at(row, 10)?, payment(row)?))).collect::<Result<_, Fault>>()?;
    Ok(page(rows, range))
}

pub async fn request_cancel(
    db: &mut PgConnection,
    wish: &OwnWish,
    now: Timestamp,
) -> Result<Done<Answered<CancelOutcome>>, Fault> {
    if let Some(before) = keys::claim(db, &wish.owner, wish.key.as_ref(), now).await? {
        return Ok(Done::Undo(before));
    }
    let found = sqlx::query(concat!(
        "SELECT ",
        payment_columns!(),
        " FROM payments WHERE payment_id = $1 AND room = $2 AND sub = $3 FOR UPDATE"
    ))
    .bind(&wish.id)
    .bind(wish.owner.room.as_str())
    .bind(&wish.owner.sub)
    .fetch_optional(&mut *db)
    .await?;
    let found = found.as_ref().map(payment).transpose()?;
    let outcome = keep(db, decide::request_cancel(wish, found, now), now).await?;
    keys::settle(db, &wish.owner, wish.key.as_ref(), outcome).await
}

pub async fn compensate(
    db: &mut PgConnection,
    asked: &PaymentRef,
    now: Timestamp,
) -> Result<Done<Compensated>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        payment_columns!(),
        ", sub FROM payments WHERE payment_id = $1 AND room = $2 FOR UPDATE"
    ))
    .bind(&asked.payment_id)
    .bind(asked.room.as_str())
    .fetch_optional(&mut *db)
    .await?;
    let facts = match found {
        None => None,
        Some(row) => {
            let owner = Owner { room: asked.room.clone(), sub: row.try_get(10)? };
            let payment = payment(&row)?;
            let reservation = holds::of_owner_locked(db, &owner, &payment.reservation_id).await?;
            let balance_minor = money::locked(db, &owner).await?;
            Some(UndoFacts { owner, payment, reservation, balance_minor })
        }
    };
    let decided = decide::compensate(asked, facts, now).map_err(|wrong| Fault::Broken(wrong.to_string()))?;
    keep(db, decided, now).await.map(Done::Keep)
}

/// What another replica is asking for again at this moment is left to it.
pub async fn recall(
    db: &mut PgConnection,
    asked_before: Timestamp,
    limit: usize,
    now: Timestamp,
) -> Result<Done<usize>, Fault> {
    let stuck = sqlx::query(concat!(
        "SELECT ",
        payment_columns!(),
        ", room FROM payments WHERE state = 'cancelling' AND asked_at < $1
          ORDER BY asked_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    ))
    .bind(time(asked_before))
    .bind(int(limit as u64))
    .fetch_all(&mut *db)
    .await?;
    for row in &stuck {
        for change in decide::recall(&room_at(row, 10)?, &payment(row)?, now) {
            apply(db, &change, now).await?;
        }
    }
    Ok(Done::Keep(stuck.len()))
}
