//! Work that one replica does at a time: whose turn it is, how it passes on, and who is woken for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;

use std::sync::Arc;
use std::time::Duration;

use backend::cluster::postgres::PgReservations;
use kernel::contract::T0;
use kernel::contract::shop::{charge_wish, concert, hold_wish, pay_wish, told, visitor};
use kernel::event::{Event, Record, RoomEvent, RoomFact};
use kernel::ports::reservations::{Answered, PayOutcome};
use kernel::ports::{Delivery, Place, ReservationStore, StoreError};
use kernel::words::EndReason;
use postgres_scene::Schema;
use sqlx::{Acquire, PgConnection};

/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);
/// Long enough for a ring to have come, were there one.
const A_WHILE: Duration = Duration::from_millis(300);

/// What is told of one purchase.
const BOUGHT: [&str; 3] = ["r-1-A1.held", "p-1.completed", "r-1-A1.confirmed"];

/// Two replicas of a shop in which one payment was made: by the first.
async fn two() -> (Schema, PgReservations, PgReservations) {
    let schema = Schema::fresh();
    let (one, two) =
        (PgReservations::new(schema.connect().await), PgReservations::new(schema.connect().await));
    one.add_concert(concert("c", 20), T0).await.unwrap();
    buy(&one, 1).await;
    (schema, one, two)
}

async fn buy(store: &PgReservations, number: u64) {
    let slot = visitor(number);
    store.charge(charge_wish(&slot, &format!("ch-{number}"), 5_000), T0).await.unwrap();
    let seat = format!("A{number}");
    store.hold(hold_wish(&slot, &seat), T0).await.unwrap();
    let wish = pay_wish(&slot, &format!("p-{number}"), &format!("r-{number}-{seat}"));
    let paid = store.pay(wish, T0).await.unwrap();
    assert!(matches!(paid, Answered::Now(PayOutcome::Completed(_))), "{paid:?}");
}

/// What a replica is given of the outbox.
async fn to_tell(store: &PgReservations) -> Vec<String> {
    store.outbox(100).await.unwrap().entries.into_iter().map(|entry| entry.record.id).collect()
}

fn ended(number: u64) -> Delivery {
    let room = visitor(number).owner.room;
    let fact = RoomFact::ActiveTokenReleased { number, reason: EndReason::Left };
    let event = Event::Room(RoomEvent { room: room.clone(), seq: number, at: T0, fact });
    let record = Record { id: format!("hall.{number}"), room, at: T0, traceparent: None, event };
    Delivery { record: Arc::new(record), place: Place { partition: 0, offset: number }, offset: number }
}

async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            // sleep: the server ends a session a moment after its connection
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.unwrap()
}

#[tokio::test]
async fn one_replica_tells_until_it_closes() {
    let (_schema, one, two) = two().await;
    assert_eq!(to_tell(&two).await, BOUGHT);
    assert!(to_tell(&one).await.is_empty(), "it is not its turn");
    two.close().await;
    assert!(matches!(two.outbox(9).await, Err(StoreError::Unavailable(_))));
    let batch =
        eventually(async || Some(one.outbox(9).await.unwrap()).filter(|some| !some.entries.is_empty())).await;
    one.published(batch.part, batch.entries.iter().map(|entry| entry.entry).collect(), T0).await.unwrap();
    assert!(to_tell(&one).await.is_empty());
}

/// Each is given what the other does not have in hand, and a reservation's story is never torn.
#[tokio::test]
async fn replicas_share_the_telling() {
    let (_schema, one, two) = two().await;
    for number in 2..=20 {
        buy(&one, number).await;
    }
    let (mut told, mut shares) = (Vec::new(), [0, 0]);
    while told.len() < 20 * BOUGHT.len() {
        // Both have something in hand at a time.
        let batches = [one.outbox(100).await.unwrap(), two.outbox(100).await.unwrap()];
        assert!(batches[0].part != batches[1].part || batches.iter().any(|batch| batch.entries.is_empty()));
        for (at, (store, batch)) in [&one, &two].into_iter().zip(batches).enumerate() {
            shares[at] += batch.entries.len();
            let entries = batch.entries.iter().map(|entry| entry.entry).collect();
            told.extend(batch.entries.into_iter().map(|entry| entry.record.id));
            store.published(batch.part, entries, T0).await.unwrap();
        }
    }
    for number in 1..=20 {
        let story = [
            format!("r-{number}-A{number}.held"),
            format!("p-{number}.completed"),
            format!("r-{number}-A{number}.confirmed"),
        ];
        let of = |id: &&String| story.contains(id);
        assert_eq!(told.iter().filter(of).cloned().collect::<Vec<_>>(), story, "once, and in order");
    }
    assert!(shares.iter().all(|share| *share >= BOUGHT.len()), "{shares:?}");
}

#[tokio::test]
async fn the_turn_passes_on_when_its_holders_connection_dies() {
    let (schema, one, two) = two().await;
    assert_eq!(to_tell(&one).await, BOUGHT);
    let mut aside = schema.aside().await;
    let ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_stat_activity USING (pid)
                WHERE locktype = 'advisory' AND application_name = 'turnline ' || $1";
    let ended: i64 = sqlx::query_scalar(ends).bind(&schema.name).fetch_one(&mut aside).await.unwrap();
    assert_eq!(ended, 1);
    eventually(async || (!to_tell(&two).await.is_empty()).then_some(())).await;
    // The former holder hears of it by its failing look, and then waits for its turn as anybody.
    assert!(matches!(one.outbox(9).await, Err(StoreError::Unavailable(_))));
    assert!(to_tell(&one).await.is_empty());
    assert_eq!(to_tell(&two).await, BOUGHT);
}

#[tokio::test]
async fn a_consumers_inbox_is_worked_by_one_replica() {
    let (_schema, one, two) = two().await;
    two.receive("holds", vec![ended(1), ended(2)], T0).await.unwrap();
    assert_eq!(one.inbox("holds", T0, 9).await.unwrap().len(), 2);
    assert!(two.inbox("holds", T0, 9).await.unwrap().is_empty());
    // Another consumer, and the outbox, are turns of their own.
    one.receive("cancellations", vec![ended(1)], T0).await.unwrap();
    assert_eq!(two.inbox("cancellations", T0, 9).await.unwrap().len(), 1);
    assert_eq!(to_tell(&two).await, BOUGHT);
    one.close().await;
    let left =
        eventually(async || Some(two.inbox("holds", T0, 9).await.unwrap()).filter(|due| !due.is_empty()));
    assert_eq!(left.await.len(), 2, "nothing was handled, so nothing is lost");
}

/// An entry's number is given before it is committed; the relay must not pass it by.
#[tokio::test]
async fn what_is_committed_late_is_told_all_the_same() {
    let (schema, one, two) = two().await;
    let mut aside = schema.aside().await;
    let mut late = aside.begin().await.unwrap();
    copy_letter(&mut late, "late").await;
    buy(&two, 2).await;
    assert_eq!(told(&one).await.len(), 2 * BOUGHT.len());
    assert!(to_tell(&one).await.is_empty());
    late.commit().await.unwrap();
    assert_eq!(to_tell(&one).await, ["late"]);
}

async fn copy_letter(db: &mut PgConnection, id: &str) {
    let copy = "INSERT INTO outbox (event_id, room, event, made_at, part) SELECT $1, room, event, made_at, part FROM outbox LIMIT 1";
    sqlx::query(copy).bind(id).execute(db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_turn_is_rung_for_what_others_leave() {
    let (_schema, one, two) = two().await;
    assert_eq!(to_tell(&one).await, BOUGHT);
    one.inbox("holds", T0, 9).await.unwrap();
    // The first answer tells that listening begins.
    tokio::join!(one.rung(), two.rung());
    assert!(tokio::time::timeout(A_WHILE, one.rung()).await.is_err(), "nobody rang yet");
    two.receive("holds", vec![ended(3)], T0).await.unwrap();
    tokio::time::timeout(SOON, one.rung()).await.unwrap();
    while tokio::time::timeout(A_WHILE, one.rung()).await.is_ok() {}
    // Its own work is no news to it, and it need not wake anybody for it.
    assert!(tokio::time::timeout(A_WHILE, two.rung()).await.is_err());
    one.receive("holds", vec![ended(5)], T0).await.unwrap();
    assert!(tokio::time::timeout(A_WHILE, one.rung()).await.is_err());
    assert!(tokio::time::timeout(A_WHILE, two.rung()).await.is_err());
}

#[tokio::test]
async fn a_replica_closes_whether_or_not_somebody_waits_for_a_ring() {
    let (_schema, one, two) = two().await;
    tokio::join!(one.rung(), two.rung());
    tokio::time::timeout(SOON, one.close()).await.unwrap();
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { two.rung().await }
    });
    tokio::task::yield_now().await;
    tokio::time::timeout(SOON, two.close()).await.unwrap();
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn ringing_outlives_its_connections() {
    let (schema, one, two) = two().await;
    assert_eq!(to_tell(&one).await, BOUGHT);
    one.rung().await;
    schema.cut(&mut schema.aside().await).await;
    // Listening anew counts as a ring: some may have been missed.
    tokio::time::timeout(SOON, one.rung()).await.unwrap();
    // The turn went with the connection, so the first look fails and the second takes it anew.
    eventually(async || one.inbox("holds", T0, 9).await.ok()).await;
    two.receive("holds", vec![ended(1)], T0).await.unwrap();
    tokio::time::timeout(SOON, one.rung()).await.unwrap();
    assert_eq!(one.inbox("holds", T0, 9).await.unwrap().len(), 1);
}
