//! Balances and their ledgers: both change in one transaction, so that the one is always the sum of the
//! other. Who decides on a balance has its row locked.

use kernel::ports::reservations::{Answered, ChargeOutcome, ChargeWish, Entry, Money, Page, PageRange};
use kernel::reservation::{Currency, Owner, decide};
use kernel::words::{RoomId, Timestamp};
use sqlx::{PgConnection, Row};

use super::changes::keep;
use super::rows::{currency_at, kind_at, limit, page, time_at, uint_at};
use super::{holds, keys};
use crate::cluster::postgres::database::{Done, int};
use crate::cluster::postgres::fault::Fault;

pub async fn balance(db: &mut PgConnection, owner: &Owner) -> Result<Money, Fault> {
    let amount: Option<i64> =
        sqlx::query_scalar("SELECT amount_minor FROM balances WHERE room = $1 AND sub = $2")
            .bind(owner.room.as_str())
            .bind(&owner.sub)
            .fetch_optional(&mut *db)
            .await?;
    let currency = currency_of(db, &owner.room).await?.unwrap_or(Currency::DEFAULT);
    Ok(Money { amount_minor: amount.unwrap_or(0), currency })
}

/// The balance, which stays as it is until the transaction ends; who never had money has none to take.
pub async fn locked(db: &mut PgConnection, owner: &Owner) -> Result<i64, Fault> {
    let amount: Option<i64> =
        sqlx::query_scalar("SELECT amount_minor FROM balances WHERE room = $1 AND sub = $2 FOR UPDATE")
            .bind(owner.room.as_str())
            .bind(&owner.sub)
            .fetch_optional(db)
            .await?;
    Ok(amount.unwrap_or(0))
}

pub async fn charge(
    db: &mut PgConnection,
    wish: &ChargeWish,
    now: Timestamp,
) -> Result<Done<Answered<ChargeOutcome>>, Fault> {
    let owner = wish.caller.owner();
    if let Some(before) = keys::claim(db, owner, Some(&wish.key), now).await? {
        return Ok(Done::Undo(before));
    }
    let ended = match wish.caller.number() {
        Some(number) => holds::has_ended(db, &owner.room, number).await?,
        None => true,
    };
    let Some(slot) = decide::inside(&wish.caller, ended, now) else {
        return Ok(Done::Undo(Answered::Now(ChargeOutcome::SlotEnded)));
    };
    let currency = fix_currency(db, &owner.room, Currency::DEFAULT).await?;
    // The first charge makes the row: two first ones must not both begin at nothing.
    let amount_minor: i64 = sqlx::query_scalar(
        "INSERT INTO balances (room, sub, amount_minor) VALUES ($1, $2, 0)
         ON CONFLICT (room, sub) DO UPDATE SET amount_minor = balances.amount_minor
         RETURNING amount_minor",
    )
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .fetch_one(&mut *db)
    .await?;
    let money = Money { amount_minor, currency };
    let outcome = keep(db, decide::charge(wish, slot, money, now), now).await?;
    keys::settle(db, owner, Some(&wish.key), outcome).await
}

pub async fn ledger(db: &mut PgConnection, owner: &Owner, range: PageRange) -> Result<Page<Entry>, Fault> {
    let rows = sqlx::query(
        "SELECT entry, amount_minor, kind, reference, made_at FROM ledger
         WHERE room = $1 AND sub = $2 AND entry < $3 ORDER BY entry DESC LIMIT $4",
    )
    .bind(owner.room.as_str())
    .bind(&owner.sub)
    .bind(range.after.map_or(i64::MAX, int))
    .bind(limit(range))
    .fetch_all(db)
    .await?;
    let read = |row| {
        let entry = Entry {
            amount_minor: Row::try_get(row, 1)?,
            kind: kind_at(row, 2)?,
            reference: Row::try_get(row, 3)?,
            at: time_at(row, 4)?,
        };
        Ok((uint_at(row, 0)?, entry))
    };
    Ok(page(rows.iter().map(read).collect::<Result<_, Fault>>()?, range))
}

/// The currency the room sells in; `wanted` from now on, where none was fixed before.
pub async fn fix_currency(db: &mut PgConnection, room: &RoomId, wanted: Currency) -> Result<Currency, Fault> {
    if let Some(fixed) = currency_of(db, room).await? {
        return Ok(fixed);
    }
    sqlx::query("INSERT INTO rooms (room, currency) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(room.as_str())
        .bind(wanted.as_str())
        .execute(&mut *db)
        .await?;
    // Whoever was first.
    Ok(currency_of(db, room).await?.unwrap_or(wanted))
}

async fn currency_of(db: &mut PgConnection, room: &RoomId) -> Result<Option<Currency>, Fault> {
    let found = sqlx::query("SELECT currency FROM rooms WHERE room = $1")
        .bind(room.as_str())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(|row| currency_at(row, 0)).transpose()
}
