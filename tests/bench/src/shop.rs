//! Purchases a second, hold and pay, by the shop's own verbs, against bare transactions with the same statements
//! from a loop that decides nothing, in turns on the same kind of file and the same server.

mod bare;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use backend::clock::SystemClock;
use backend::cluster::postgres::{Database, PgReservations};
use backend::embedded::SqliteReservations;
use kernel::ports::reservations::{
    Answered, CallKey, Caller, ChargeWish, HoldOutcome, HoldWish, Operation, PayOutcome, PayWish,
};
use kernel::ports::{Clock, ReservationStore};
use kernel::reservation::concert::rows_of_seats;
use kernel::reservation::{Concert, Currency, Owner, Performance, Slot};
use kernel::words::{Digest, RoomId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figures::{median, ratio};
use crate::servers::Servers;
use bare::{BarePostgres, BareSqlite};

const ROUNDS: u64 = 5;
/// In a round, of each kind.
const PURCHASES: u64 = 800;
/// Buyers who are under way at a time.
const BUYERS: u64 = 32;
const PRICE: i64 = 5_000;

pub async fn measure() -> anyhow::Result<Value> {
    let directory = tempfile::tempdir()?;
    let sqlite = SqliteReservations::open(&directory.path().join("shop"))?;
    let bare_directory = directory.path().join("bare");
    let prepared: Arc<dyn ReservationStore> = Arc::new(SqliteReservations::open(&bare_directory)?);
    let bare = BareSqlite::open(&bare_directory)?;
    let store: Arc<dyn ReservationStore> = Arc::new(sqlite);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        prepare(&prepared, round).await?;
        floor.push(bare.purchases(round, PURCHASES)?);
        prepare(&store, round).await?;
        ours.push(purchases(&store, round).await?);
        tell("SQLite", round, &ours, &floor);
    }
    let on_sqlite = report(&ours, &floor, "one bare loop");

    let servers = Servers::start()?;
    let url = servers.database();
    let store: Arc<dyn ReservationStore> =
        Arc::new(PgReservations::new(Database::connect(&url, "shop").await?));
    let prepared: Arc<dyn ReservationStore> =
        Arc::new(PgReservations::new(Database::connect(&url, "bare").await?));
    let bare = BarePostgres::connect(&url, "bare").await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        prepare(&prepared, round).await?;
        floor.push(bare.purchases(round, PURCHASES).await?);
        prepare(&store, round).await?;
        ours.push(purchases(&store, round).await?);
        tell("PostgreSQL", round, &ours, &floor);
    }
    let on_postgres = report(&ours, &floor, "as many bare loops as our pool has connections");
    Ok(json!({
        "how": format!("{PURCHASES} purchases (hold and pay, a key each) by {BUYERS} buyers at a time, {ROUNDS} rounds in turns, medians; all durable"),
        "sqlite": on_sqlite, "postgresql": on_postgres,
    }))
}

fn tell(on: &str, round: u64, ours: &[f64], floor: &[f64]) {
    let last = |rates: &[f64]| rates.last().copied().unwrap_or_default();
    eprintln!("{on}, round {}: {:.0} purchases/s, bare {:.0}/s", round + 1, last(ours), last(floor));
}

fn report(ours: &[f64], floor: &[f64], loops: &str) -> Value {
    json!({
        "purchases_per_second": median(ours).round(), "bare_per_second": median(floor).round(), "bare": loops,
        "ratio": ratio(ours, floor),
        "rounds": { "purchases": ours, "bare": floor },
    })
}

/// A performance of its own for the round, and money for its buyers.
async fn prepare(store: &Arc<dyn ReservationStore>, round: u64) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let performance = Performance {
        performance_id: performance_of(round),
        starts_at: now.plus_seconds(86_400),
        seats: rows_of_seats(usize::try_from(PURCHASES)?, PRICE),
    };
    let concert = Concert {
        id: format!("c{round}"),
        title: "An evening".to_owned(),
        room: hall()?,
        currency: Currency::DEFAULT,
        performances: vec![performance],
    };
    store.add_concert(concert, now).await?;
    each(store, round, |store, buyer| async move {
        let wish = ChargeWish {
            caller: Caller::Inside(buyer.slot.clone()),
            charge_id: format!("ch-{}", buyer.id),
            amount_minor: PRICE,
            key: buyer.key(Operation::Charge),
        };
        store.charge(wish, SystemClock.now()).await?;
        Ok(())
    })
    .await
}

/// Purchases a second.
async fn purchases(store: &Arc<dyn ReservationStore>, round: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    each(store, round, move |store, buyer| async move {
        let hold = HoldWish {
            caller: Caller::Inside(buyer.slot.clone()),
            reservation_id: format!("r-{}", buyer.id),
            performance_id: performance_of(round),
            seat_id: buyer.seat.clone(),
            max_holds: 4,
            key: Some(buyer.key(Operation::Hold)),
            traceparent: None,
        };
        let held = store.hold(hold, SystemClock.now()).await?;
        if !matches!(held, Answered::Now(HoldOutcome::Held(_))) {
            bail!("not held: {held:?}");
        }
        let pay = PayWish {
            caller: Caller::Inside(buyer.slot.clone()),
            payment_id: format!("p-{}", buyer.id),
            reservation_id: format!("r-{}", buyer.id),
            key: buyer.key(Operation::Pay),
            traceparent: None,
        };
        let paid = store.pay(pay, SystemClock.now()).await?;
        if !matches!(paid, Answered::Now(PayOutcome::Completed(_))) {
            bail!("not paid: {paid:?}");
        }
        Ok(())
    })
    .await?;
    Ok(PURCHASES as f64 / began.elapsed().as_secs_f64())
}

struct Buyer {
    id: String,
    seat: String,
    slot: Slot,
}

impl Buyer {
    fn key(&self, operation: Operation) -> CallKey {
        CallKey { operation, key: self.id.clone(), body: Digest::of(&[self.id.as_bytes()]) }
    }
}

/// Lets every buyer of the round do something, so many at a time.
async fn each<F>(
    store: &Arc<dyn ReservationStore>,
    round: u64,
    act: impl Fn(Arc<dyn ReservationStore>, Buyer) -> F + Clone + Send + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let seats: Arc<Vec<String>> = Arc::new(
        rows_of_seats(usize::try_from(PURCHASES)?, PRICE).into_iter().map(|seat| seat.seat_id).collect(),
    );
    let (next, room) = (Arc::new(AtomicU64::new(0)), hall()?);
    let mut under_way = JoinSet::<anyhow::Result<()>>::new();
    for _ in 0..BUYERS {
        let (store, next, seats, act, room) =
            (store.clone(), next.clone(), seats.clone(), act.clone(), room.clone());
        under_way.spawn(async move {
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                let Some(seat) = usize::try_from(nth).ok().and_then(|nth| seats.get(nth)) else {
                    return Ok(());
                };
                let number = round * PURCHASES + nth + 1;
                let owner = Owner { room: room.clone(), sub: format!("t:{number}") };
                let slot = Slot { owner, number, expires_at: SystemClock.now().plus_seconds(3_600) };
                act(store.clone(), Buyer { id: number.to_string(), seat: seat.clone(), slot }).await?;
            }
        });
    }
    while let Some(done) = under_way.join_next().await {
        done?.context("a buyer")?;
    }
    Ok(())
}

fn performance_of(round: u64) -> String {
    format!("c{round}-1")
}

fn hall() -> anyhow::Result<RoomId> {
    RoomId::parse("hall").ok().context("a room's name")
}
