//! Admission over the reference store, in tokio's stopped time: who is called, when rooms open and close,
//! what payments do, and that neither faults nor a second replica break an order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use active_queue::{ActiveQueue, Config, Ports};
use edge::stand_in::{LogPort, TokioClock, World};
use kernel::contract::policy;
use kernel::control::Control;
use kernel::event::{Event, PaymentFact, PaymentRef, Record, RoomEvent, RoomFact};
use kernel::lottery::{Draw, Ingredients, arrivals_root};
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Clock, EventLog, Registry, RoomRecord, RoomStore};
use kernel::room::Join;
use kernel::ticket::{RoomBirth, TicketKey};
use kernel::words::{EndReason, LaneName, Number, RoomId, Timestamp};
use tokio_util::sync::{CancellationToken, DropGuard};

const START: Timestamp = TokioClock::START;
const SECRET: [u8; 32] = [7; 32];

struct Scene {
    world: World,
    room: RoomId,
    _stop: DropGuard,
}

impl Scene {
    /// A room under `policy`, and `replicas` of the service at work.
    async fn with(policy: Policy, replicas: usize) -> Self {
        let (world, room) = (World::new(), RoomId::parse("demo").unwrap());
        let record = RoomRecord {
            birth: RoomBirth { room: room.clone(), born: 1 },
            policy: policy.clone(),
            visitor_key: None,
            lottery_secret: SECRET,
        };
        world.registry.save(&record).await.unwrap();
        world.store.configure(&room, &policy, None, START).await.unwrap();
        let stop = CancellationToken::new();
        for _ in 0..replicas {
            let ports = Ports {
                store: world.store.clone(),
                registry: world.registry.clone(),
                log: Arc::new(LogPort(world.log.clone())),
                clock: world.clock.clone(),
                tickets: tickets(),
            };
            tokio::spawn(ActiveQueue::new(Config::default(), ports).run(stop.clone()));
        }
        Self { world, room, _stop: stop.drop_guard() }
    }

    async fn join(&self, count: usize) {
        let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        let now = self.world.clock.now();
        self.world.store.join(&self.room, vec![one; count], now).await.unwrap();
    }

    async fn pay(&self, number: Number) {
        let payment = PaymentRef {
            room: self.room.clone(),
            payment_id: format!("p{number}"),
            reservation_id: "r".into(),
            performance_id: "x".into(),
            seat_id: "s".into(),
            number,
            amount_minor: 1,
            currency: "EUR".into(),
        };
        let record = Record {
            id: format!("payment.{number}"),
            room: self.room.clone(),
            at: self.world.clock.now(),
            traceparent: None,
            event: Event::Payment(PaymentFact::PaymentCompleted(payment)),
        };
        LogPort(self.world.log.clone()).publish(vec![record]).await.unwrap();
    }

    async fn until(&self, enough: impl Fn(&[RoomEvent]) -> bool) -> Vec<RoomEvent> {
        let waited = self.world.log.until(&self.room, enough);
        tokio::time::timeout(Duration::from_secs(3600), waited).await.expect("it never happened")
    }
}

fn tickets() -> TicketKey {
    TicketKey::new(b"secret")
}

fn called(events: &[RoomEvent]) -> Vec<Number> {
    let of = |event: &RoomEvent| match &event.fact {
        RoomFact::ActiveTokensIssued { ranges, .. } => ranges.numbers().collect(),
        _ => Vec::new(),
    };
    events.iter().flat_map(of).collect()
}

fn released(events: &[RoomEvent]) -> Vec<(Number, EndReason)> {
    let of = |event: &RoomEvent| match event.fact {
        RoomFact::ActiveTokenReleased { number, reason } => Some((number, reason)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn states(events: &[RoomEvent]) -> Vec<(Control, Timestamp)> {
    let of = |event: &RoomEvent| match event.fact {
        RoomFact::RoomStateChanged { state, .. } => Some((state, event.at)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_are_filled_in_order_and_a_payment_lets_the_next_in() {
    let scene = Scene::with(policy(2), 1).await;
    scene.join(5).await;
    assert_eq!(called(&scene.until(|events| called(events).len() >= 2).await), vec![1, 2]);
    let paid_at = scene.world.clock.now();
    scene.pay(1).await;
    scene.pay(1).await;
    scene.pay(4).await;
    let events = scene.until(|events| called(events).len() >= 3).await;
    assert_eq!(called(&events), vec![1, 2, 3]);
    assert_eq!(released(&events), vec![(1, EndReason::Paid)]);
    assert!(events.last().unwrap().at.since(paid_at) < 1000, "the next was called before any tick");
    scene.pay(2).await;
    let events = scene.until(|events| called(events).len() >= 4).await;
    assert_eq!(released(&events), vec![(1, EndReason::Paid), (2, EndReason::Paid)]);
}

#[tokio::test(start_paused = true)]
async fn a_room_opens_at_its_time_and_draws_the_lottery() {
    let opens_at = START.plus_millis(30_300);
    let lottery = Policy { opens_at: Some(opens_at), prequeue: PrequeueOrder::Lottery, ..policy(3) };
    let scene = Scene::with(lottery, 1).await;
    scene.join(50).await;
    let events = scene.until(|events| called(events).len() >= 3).await;
    let (state, at) = states(&events)[0];
    assert_eq!(state, Control::Open);
    assert!(at >= opens_at && at.since(opens_at) < 100, "opened {} ms late", at.since(opens_at));
    let drawn = scene.world.store.snapshot(&scene.room).await.unwrap().drawn.unwrap();
    let birth = RoomBirth { room: scene.room.clone(), born: 1 };
    let list_root = arrivals_root((1..=50).map(|number| tickets().id(&birth, number)));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((drawn.frozen, drawn.secret, drawn.list_root), (50, hex(&SECRET), hex(&list_root)));
    let draw = Draw::new(50, &Ingredients { secret: &SECRET, list_root, beacon: b"" });
    let first: BTreeSet<_> = (1..=3).map(|place| draw.number(place)).collect();
    assert_eq!(called(&events).into_iter().collect::<BTreeSet<_>>(), first);
}

#[tokio::test(start_paused = true)]
async fn a_room_closes_at_its_time_once() {
    let closes_at = START.plus_seconds(20);
    let scene = Scene::with(Policy { closes_at: Some(closes_at), ..policy(0) }, 1).await;
    scene.join(2).await;
    let events = scene.until(|events| !states(events).is_empty()).await;
    let (state, at) = states(&events)[0];
    assert_eq!(state, Control::Closed);
    assert!(at >= closes_at && at.since(closes_at) < 100);
    let now = scene.world.clock.now();
    assert!(scene.world.store.control(&scene.room, Control::Closed, Control::Open, None, now).await.unwrap());
    scene.join(1).await;
    // sleep: time is stopped; ten ticks pass at once
    tokio::time::sleep(Duration::from_secs(10)).await;
    let summary = scene.world.store.summary(&scene.room).await.unwrap();
    assert_eq!((summary.control, summary.waiting), (Control::Open, 1));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_lost_its_opening_time_opens() {
    let opens_at = Some(START.plus_seconds(3000));
    let scene = Scene::with(Policy { opens_at, ..policy(1) }, 1).await;
    scene.join(1).await;
    scene.world.store.configure(&scene.room, &policy(1), None, START).await.unwrap();
    let events = scene.until(|events| !called(events).is_empty()).await;
    assert!(events.last().unwrap().at.since(START) < 5_000);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept_and_used() {
    let scene = Scene::with(Policy { admit_per_minute: Some(120), ..policy(1000) }, 1).await;
    scene.join(500).await;
    let events = scene.until(|events| called(events).len() >= 240).await;
    let minutes = events.last().unwrap().at.since(START) as f64 / 60_000.0;
    assert!((1.8..2.2).contains(&minutes), "240 at 120 a minute took {minutes} minutes");
    for (at, event) in events.iter().enumerate() {
        let minute = events[at..].iter().take_while(|later| later.at.since(event.at) < 60_000);
        let count = called(&minute.cloned().collect::<Vec<_>>()).len();
        assert!(count <= 120, "{count} were called within a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_asked_again() {
    let scene = Scene::with(policy(40), 1).await;
    for round in 0..20 {
        scene.world.store.fail_next(round % 7);
        let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        // Whatever became of it: the room is as full as it says.
        let _ = scene.world.store.join(&scene.room, vec![one; 3], START).await;
        let summary = loop {
            if let Ok(summary) = scene.world.store.summary(&scene.room).await {
                break summary;
            }
        };
        let wanted = summary.issued.min(40) as usize;
        let events = scene.until(|events| called(events).len() >= wanted).await;
        assert_eq!(called(&events), (1..=wanted as u64).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_call_everyone_once_in_order_within_the_capacity() {
    let scene = Scene::with(policy(7), 2).await;
    scene.join(150).await;
    for number in 1..=150 {
        scene.until(|events| called(events).contains(&number)).await;
        scene.pay(number).await;
    }
    let events = scene.until(|events| released(events).len() >= 150).await;
    assert_eq!(called(&events), (1..=150).collect::<Vec<_>>());
    let mut active = 0;
    for event in &events {
        active += called(std::slice::from_ref(event)).len();
        active -= released(std::slice::from_ref(event)).len();
        assert!(active <= 7, "{active} were active");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_once_a_tick_and_only_of_changes() {
    let scene = Scene::with(policy(1), 1).await;
    scene.join(3).await;
    let told = |events: &[RoomEvent]| {
        let of = |event: &&RoomEvent| matches!(event.fact, RoomFact::RoomProgressed { .. });
        events.iter().filter(of).count()
    };
    let events = scene.until(|events| told(events) >= 1).await;
    let Some(RoomFact::RoomProgressed { state, waiting, active, called_through, .. }) = events
        .iter()
        .map(|event| event.fact.clone())
        .rfind(|fact| matches!(fact, RoomFact::RoomProgressed { .. }))
    else {
        panic!("progress was told")
    };
    assert_eq!((state, waiting, active, called_through), (Control::Open, 2, 1, 1));
    // sleep: time is stopped; the estimate settles while nothing happens
    tokio::time::sleep(Duration::from_secs(20)).await;
    let seconds = scene.world.clock.now().since(START) / 1000;
    assert!(told(&scene.world.log.events(&scene.room)) as u64 <= seconds + 1);
}
