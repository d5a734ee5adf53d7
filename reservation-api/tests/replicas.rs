//! Two replicas of the service over one PostgreSQL: what one leaves the other does, at once and once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use backend::clock::SystemClock;
use backend::cluster::postgres::{Database, PgReservations};
use backend::embedded::{Embedded, Options};
use backend::entropy::SystemEntropy;
use edge::AdminToken;
use edge::rooms::Rooms;
use kernel::event::{CancellationFact, Event, Record, RoomEvent, RoomFact, Topic};
use kernel::pass::PassKey;
use kernel::ports::reservations::*;
use kernel::ports::{Clock, DeadLetters, Entropy, EventLog, Replay, ReservationStore, StartAt, Subscription};
use kernel::reservation::concert::rows_of_seats;
use kernel::reservation::{Concert, Currency, Hold, HoldEnd, Owner, Performance, Slot};
use kernel::words::{Digest, EndReason, RoomId, Timestamp};
use reservation_api::{Config, Ports, ReservationApi};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const PRICE: i64 = 5_000;
/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);
/// Nobody looks by himself within a test: who works was woken.
const NEVER: Duration = Duration::from_secs(3_600);

/// One log, one schema; replicas come and go.
struct Town {
    log: Embedded,
    schema: String,
    _directory: TempDir,
}

struct Replica {
    router: Router,
    store: Arc<PgReservations>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Town {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Batches come twice now and then, as from Kafka.
        let log = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
        let random = kernel::words::hex(&SystemEntropy.bytes()[..8]);
        Self { log, schema: format!("test-replicas-{random}"), _directory: directory }
    }

    async fn store(&self) -> Arc<PgReservations> {
        let url = std::env::var("TURNLINE_DATABASE").unwrap_or_else(|_| {
            panic!("this test needs PostgreSQL: run `cargo xtask services start` and export what it prints")
        });
        Arc::new(PgReservations::new(Database::connect(&url, &self.schema).await.unwrap()))
    }

    async fn replica(&self, look_every: Duration) -> Replica {
        let store = self.store().await;
        // What is remembered is never old by itself: only an event makes it so.
        let config =
            Config { relay_poll: look_every, sweep_every: NEVER, cache_ttl: NEVER, ..Config::default() };
        let ports = Ports {
            store: store.clone(),
            rooms: Arc::new(self.log.clone()),
            registry: Rooms::new(Arc::new(self.log.clone())),
            log: Arc::new(self.log.clone()),
            clock: Arc::new(SystemClock),
            pass_key: PassKey::new(b"a secret of the test").unwrap(),
            admin: AdminToken::new("the-admin-token"),
        };
        let (stop, api) = (CancellationToken::new(), ReservationApi::new(config, ports));
        let (router, _) = api.routes().split_for_parts();
        let task = tokio::spawn(api.run(stop.clone()));
        Replica { router, store, stop, task }
    }

    /// Hears a topic from its beginning until all of these came.
    async fn heard(&self, topic: Topic, ids: &[String]) {
        let group = kernel::words::hex(&SystemEntropy.bytes()[..8]);
        let from = Subscription { group, topics: vec![topic], start: StartAt::Committed };
        let mut consumer = self.log.subscribe(from).await.unwrap();
        let mut missing = ids.to_vec();
        let hearing = async {
            while !missing.is_empty() {
                for delivery in consumer.next(100).await.unwrap() {
                    missing.retain(|id| *id != delivery.record.id);
                }
            }
        };
        tokio::time::timeout(SOON, hearing).await.unwrap_or_else(|_| panic!("never told: {missing:?}"));
    }
}

impl Replica {
    /// The state of the second seat, as this replica's list shows it.
    async fn second_seat(&self) -> String {
        let request = Request::get("/v1/performances/c-1/seats").body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
        list["items"][1]["state"].as_str().unwrap().to_owned()
    }

    async fn drained(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task).await.unwrap().unwrap();
        self.store.close().await;
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn hall() -> RoomId {
    RoomId::parse("hall").unwrap()
}

fn slot(number: u64) -> Slot {
    let owner = Owner { room: hall(), sub: format!("t:{number}") };
    Slot { owner, number, expires_at: now().plus_seconds(600) }
}

async fn open_shop(store: &PgReservations, seats: usize) {
    let performance = Performance {
        performance_id: "c-1".to_owned(),
        starts_at: now().plus_seconds(86_400),
        seats: rows_of_seats(seats, PRICE),
    };
    let concert = Concert {
        id: "c".to_owned(),
        title: "An evening".to_owned(),
        room: hall(),
        currency: Currency::DEFAULT,
        performances: vec![performance],
    };
    store.add_concert(concert, now()).await.unwrap();
}

fn key(operation: Operation, key: &str) -> CallKey {
    CallKey { operation, key: key.to_owned(), body: Digest::of(&[key.as_bytes()]) }
}

/// The visitor of a number holds the seat of that number, as `r-{number}`.
async fn hold(store: &PgReservations, number: u64) {
    let plan = store.seat_plan("c-1").await.unwrap().unwrap();
    let seat = &plan.seats[usize::try_from(number).unwrap()];
    let wish = HoldWish {
        caller: Caller::Inside(slot(number)),
        reservation_id: format!("r-{number}"),
        performance_id: "c-1".to_owned(),
        seat_id: seat.seat_id.clone(),
        max_holds: 1,
        key: None,
        traceparent: None,
    };
    let held = store.hold(wish, now()).await.unwrap();
    assert!(matches!(held, Answered::Now(HoldOutcome::Held(_))), "{held:?}");
}

/// The same, and pays, as `p-{number}`.
async fn buy(store: &PgReservations, number: u64) -> PaymentRow {
    let charge = ChargeWish {
        caller: Caller::Inside(slot(number)),
        charge_id: format!("ch-{number}"),
        amount_minor: PRICE,
        key: key(Operation::Charge, "charge"),
    };
    store.charge(charge, now()).await.unwrap();
    hold(store, number).await;
    let pay = PayWish {
        caller: Caller::Inside(slot(number)),
        payment_id: format!("p-{number}"),
        reservation_id: format!("r-{number}"),
        key: key(Operation::Pay, "pay"),
        traceparent: None,
    };
    match store.pay(pay, now()).await.unwrap() {
        Answered::Now(PayOutcome::Completed(row)) => row,
        other => panic!("{other:?}"),
    }
}

fn released(number: u64) -> Record {
    let fact = RoomFact::ActiveTokenReleased { number, reason: EndReason::Left };
    let event = RoomEvent { room: hall(), seq: number, at: now(), fact };
    record(format!("hall.{number}"), Event::Room(event))
}

fn asked_to_cancel(id: &str, payment: &PaymentRow) -> Record {
    let fact = CancellationFact::CancelPaymentRequested(payment.facts(&hall()));
    record(id.to_owned(), Event::Cancellation(fact))
}

fn record(id: String, event: Event) -> Record {
    Record { id, room: hall(), at: now(), traceparent: None, event }
}

async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            // sleep: background work goes on meanwhile
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_any_replica_wrote_is_told_at_once() {
    let town = Town::new();
    let (one, two) = (town.replica(NEVER).await, town.replica(NEVER).await);
    open_shop(&one.store, 20).await;
    // Written past the services: nobody in them rings, only the database does, for the other replicas.
    for (number, store) in [(1, &one.store), (2, &two.store), (3, &one.store), (4, &two.store)] {
        buy(store, number).await;
    }
    let outsider = town.store().await;
    buy(&outsider, 5).await;
    let told: Vec<_> = (1..=5).map(|number| format!("p-{number}.completed")).collect();
    town.heard(Topic::Payments, &told).await;
    outsider.close().await;
    one.drained().await;
    two.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_moved_no_other_remembers_otherwise() {
    let town = Town::new();
    let (one, two) = (town.replica(NEVER).await, town.replica(NEVER).await);
    open_shop(&one.store, 20).await;
    assert_eq!([one.second_seat().await, two.second_seat().await], ["free", "free"]);
    hold(&one.store, 1).await;
    for (replica, name) in [(&one, "one"), (&two, "two")] {
        eventually(&format!("replica {name} shows it as held"), async || {
            (replica.second_seat().await == "held").then_some(())
        })
        .await;
    }
    one.store.end_slot(&hall(), 1, now()).await.unwrap();
    eventually("the other shows it as free", async || (two.second_seat().await == "free").then_some(()))
        .await;
    one.drained().await;
    two.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_end_are_worked_once_whoever_heard_of_them() {
    const VISITORS: u64 = 60;
    let town = Town::new();
    let (one, two) = (town.replica(NEVER).await, town.replica(NEVER).await);
    open_shop(&one.store, 100).await;
    for number in 1..=VISITORS {
        hold(if number % 2 == 0 { &one.store } else { &two.store }, number).await;
    }
    for numbers in [1..=20, 21..=45, 46..=VISITORS - 1] {
        town.log.publish(numbers.map(released).collect()).await.unwrap();
    }
    eventually("the seats of those who left are free", async || {
        (one.store.taken("c-1", now()).await.unwrap().len() == 1).then_some(())
    })
    .await;
    let ended = two.store.reservation(&slot(7).owner, "r-7").await.unwrap().unwrap();
    assert_eq!(ended.hold, Hold::Released { reason: HoldEnd::SlotEnded });
    one.drained().await;
    two.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_goes_on_where_one_ended() {
    let town = Town::new();
    let look_every = Duration::from_millis(50);
    let one = town.replica(look_every).await;
    open_shop(&one.store, 20).await;
    let payment = buy(&one.store, 1).await;
    town.heard(Topic::Payments, &["p-1.completed".to_owned()]).await;
    let two = town.replica(look_every).await;
    // Asked for while the first still has its turns; it ends without working on it.
    let wish = OwnWish { owner: slot(1).owner, id: payment.payment_id, key: None, traceparent: None };
    one.stop.cancel();
    two.store.request_cancel(wish, now()).await.unwrap();
    one.drained().await;
    eventually("the payment is cancelled", async || {
        let row = two.store.payment(&slot(1).owner, "p-1").await.unwrap().unwrap();
        (row.payment == kernel::reservation::Payment::Cancelled).then_some(())
    })
    .await;
    let told = ["p-1.cancelled".to_owned()];
    town.heard(Topic::Payments, &told).await;
    two.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_handled_is_set_aside_and_the_next_of_its_room_goes_on() {
    let town = Town::new();
    let one = town.replica(Duration::from_millis(20)).await;
    open_shop(&one.store, 20).await;
    let paid = buy(&one.store, 1).await;
    let wish = OwnWish { owner: slot(1).owner, id: "p-1".to_owned(), key: None, traceparent: None };
    // PostgreSQL takes no zero byte in a text, in whatever try.
    let poison = PaymentRow { payment_id: "p\0".to_owned(), ..paid.clone() };
    town.log
        .publish(vec![asked_to_cancel("poison", &poison), asked_to_cancel("worse\0", &paid)])
        .await
        .unwrap();
    one.store.request_cancel(wish, now()).await.unwrap();
    eventually("the payment behind it is cancelled", async || {
        let row = one.store.payment(&slot(1).owner, "p-1").await.unwrap().unwrap();
        (row.payment == kernel::reservation::Payment::Cancelled).then_some(())
    })
    .await;
    let letters = eventually("both letters are there", async || {
        Some(town.log.list(10).await.unwrap()).filter(|letters| letters.len() == 2)
    })
    .await;
    let letter = letters.iter().find(|one| one.event_id.as_deref() == Some("poison")).unwrap();
    assert_eq!((letter.group.as_str(), letter.attempts), ("reservation-api.cancellations", 6));
    assert!(letter.error.contains("byte sequence"), "{}", letter.error);
    // Put back, it is no repeat of what was handled: it is tried anew, in vain.
    assert_eq!(town.log.replay(&letter.id).await.unwrap(), Replay::PutBack);
    eventually("it is set aside again", async || {
        let again = town.log.list(10).await.unwrap().into_iter();
        (again.filter(|one| one.event_id.as_deref() == Some("poison")).count() == 2).then_some(())
    })
    .await;
    one.drained().await;
}
