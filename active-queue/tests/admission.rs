//! Admission over the embedded backend: who is called, when rooms open and close, what payments do, and that
//! neither faults nor a second replica break an order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use active_queue::{ActiveQueue, Config, Ports};
use backend::clock::SystemClock;
use backend::embedded::{Embedded, InProcessLeases, Options};
use kernel::contract::faulty::{Fate, Faulty};
use kernel::contract::story::Story;
use kernel::contract::{T0, policy};
use kernel::control::Control;
use kernel::event::{Event, PaymentFact, PaymentRef, Record, RoomEvent, RoomFact};
use kernel::lottery::{Draw, Ingredients, arrivals_root};
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Clock, EventLog, Registry, RoomRecord, RoomStore};
use kernel::room::Join;
use kernel::ticket::{RoomBirth, TicketKey};
use kernel::words::{EndReason, LaneName, Number, RoomId, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const SECRET: [u8; 32] = [7; 32];
/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);
const FAST: Duration = Duration::from_millis(20);
/// No second tick comes: what happens later, something else brought about.
const ONE_TICK: Duration = Duration::from_secs(3600);

struct Scene {
    store: Embedded,
    /// The store as the service has it.
    faulty: Arc<Faulty>,
    leases: Arc<InProcessLeases>,
    replicas: AtomicU64,
    clock: Arc<dyn Clock>,
    room: RoomId,
    story: Story,
    stop: CancellationToken,
    _stop: DropGuard,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn with(policy: Policy) -> Self {
        Self::at(policy, Arc::new(SystemClock)).await
    }

    /// A room under `policy`, and nobody at work yet.
    async fn at(policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
        let room = RoomId::parse("demo").unwrap();
        let record = RoomRecord {
            birth: RoomBirth { room: room.clone(), born: 1 },
            policy: policy.clone(),
            visitor_key: None,
            lottery_secret: SECRET,
        };
        store.save(&record).await.unwrap();
        store.configure(&room, &policy, None, clock.now()).await.unwrap();
        let (faulty, story) = (Faulty::over(Arc::new(store.clone())), Story::of(&room, &store).await);
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let (leases, replicas) = (Arc::new(InProcessLeases::new(clock.clone())), AtomicU64::new(0));
        Self { store, faulty, leases, replicas, clock, room, story, stop, _stop, _directory: directory }
    }

    /// Sets one replica of the service to work.
    fn start(&self, tick: Duration) {
        let node = format!("replica {}", self.replicas.fetch_add(1, Ordering::Relaxed));
        let ports = Ports {
            store: self.faulty.clone(),
            registry: Arc::new(self.store.clone()),
            log: Arc::new(self.store.clone()),
            leases: self.leases.clone(),
            clock: self.clock.clone(),
            tickets: tickets(),
        };
        tokio::spawn(ActiveQueue::new(Config { node, tick }, ports).run(self.stop.clone()));
    }

    async fn join(&self, count: usize) {
        let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        self.store.join(&self.room, vec![one; count], self.clock.now()).await.unwrap();
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
            at: self.clock.now(),
            traceparent: None,
            event: Event::Payment(PaymentFact::PaymentCompleted(payment)),
        };
        self.store.publish(vec![record]).await.unwrap();
    }

    async fn until(&mut self, enough: impl Fn(&[RoomEvent]) -> bool) -> Vec<RoomEvent> {
        soon(self.story.until(enough)).await
    }

    /// All that happened so far.
    async fn so_far(&mut self) -> Vec<RoomEvent> {
        let version = self.store.summary(&self.room).await.unwrap().version;
        soon(self.story.through(version)).await
    }
}

/// Time that goes by only as it is looked at, so that minutes take no longer than looks at them do.
struct Strides {
    looks: watch::Sender<u64>,
    stride_ms: u64,
}

impl Strides {
    fn of(stride_ms: u64) -> Arc<Self> {
        Arc::new(Self { looks: watch::Sender::new(0), stride_ms })
    }

    /// Waits until the time was looked at so many times more.
    async fn looked_at(&self, times: u64) {
        let enough = *self.looks.borrow() + times;
        soon(self.looks.subscribe().wait_for(|looks| *looks >= enough)).await.unwrap();
    }
}

impl Clock for Strides {
    fn now(&self) -> Timestamp {
        let mut before = 0;
        self.looks.send_modify(|looks| {
            before = *looks;
            *looks += 1;
        });
        T0.plus_millis(before * self.stride_ms)
    }
}

async fn soon<T>(waited: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, waited).await.expect("it never happened")
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

/// What was told of the room's progress: its state, and how many wait, are active, and were called.
fn told(events: &[RoomEvent]) -> Vec<(Control, u64, u64, u64)> {
    let of = |event: &RoomEvent| match event.fact {
        RoomFact::RoomProgressed { state, waiting, active, called_through, .. } => {
            Some((state, waiting, active, called_through))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[tokio::test]
async fn slots_are_filled_in_order_and_a_payment_lets_the_next_in_before_any_tick() {
    let mut scene = Scene::with(policy(2)).await;
    scene.join(5).await;
    scene.start(ONE_TICK);
    assert_eq!(called(&scene.until(|events| called(events).len() >= 2).await), vec![1, 2]);
    // Number 5 is not called here: its payment frees nothing.
    scene.pay(5).await;
    scene.pay(1).await;
    scene.pay(1).await;
    let events = scene.until(|events| called(events).len() >= 3).await;
    assert_eq!(called(&events), vec![1, 2, 3]);
    assert_eq!(released(&events), vec![(1, EndReason::Paid)]);
    scene.pay(2).await;
    let events = scene.until(|events| called(events).len() >= 4).await;
    assert_eq!(called(&events), vec![1, 2, 3, 4]);
    assert_eq!(released(&events), vec![(1, EndReason::Paid), (2, EndReason::Paid)]);
}

#[tokio::test]
async fn a_room_opens_at_its_time_and_draws_the_lottery() {
    let opens_at = SystemClock.now().plus_millis(700);
    let lottery = Policy { opens_at: Some(opens_at), prequeue: PrequeueOrder::Lottery, ..policy(3) };
    let mut scene = Scene::with(lottery).await;
    scene.join(50).await;
    scene.start(ONE_TICK);
    let events = scene.until(|events| called(events).len() >= 3).await;
    let (state, at) = states(&events)[0];
    assert_eq!(state, Control::Open);
    assert!(at >= opens_at, "opened {} ms early", opens_at.since(at));
    let drawn = scene.store.snapshot(&scene.room).await.unwrap().drawn.unwrap();
    let birth = RoomBirth { room: scene.room.clone(), born: 1 };
    let list_root = arrivals_root((1..=50).map(|number| tickets().id(&birth, number)));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((drawn.frozen, drawn.secret, drawn.list_root), (50, hex(&SECRET), hex(&list_root)));
    let draw = Draw::new(50, &Ingredients { secret: &SECRET, list_root, beacon: b"" });
    let first: BTreeSet<_> = (1..=3).map(|place| draw.number(place)).collect();
    assert_eq!(called(&events).into_iter().collect::<BTreeSet<_>>(), first);
}

#[tokio::test]
async fn a_room_closes_at_its_time_once() {
    let closes_at = SystemClock.now().plus_millis(700);
    let mut scene = Scene::with(Policy { closes_at: Some(closes_at), ..policy(0) }).await;
    scene.join(2).await;
    scene.start(ONE_TICK);
    let events = scene.until(|events| !states(events).is_empty()).await;
    let (state, at) = states(&events)[0];
    assert_eq!(state, Control::Closed);
    assert!(at >= closes_at, "closed {} ms early", closes_at.since(at));
    let now = scene.clock.now();
    assert!(scene.store.control(&scene.room, Control::Closed, Control::Open, None, now).await.unwrap());
    // Who joins has the room looked at, and each progress is told by another tick.
    scene.start(FAST);
    for waiting in 1..=10 {
        scene.join(1).await;
        scene.until(|events| told(events).contains(&(Control::Open, waiting, 0, 0))).await;
    }
    let kept: Vec<_> = states(&scene.so_far().await).into_iter().map(|(state, _)| state).collect();
    assert_eq!(kept, vec![Control::Closed, Control::Open]);
    let summary = scene.store.summary(&scene.room).await.unwrap();
    assert_eq!((summary.control, summary.waiting), (Control::Open, 10));
}

#[tokio::test]
async fn a_room_that_lost_its_opening_time_opens() {
    let opens_at = SystemClock.now().plus_seconds(3000);
    let mut scene = Scene::with(Policy { opens_at: Some(opens_at), ..policy(1) }).await;
    scene.start(FAST);
    scene.join(1).await;
    scene.until(|events| !told(events).is_empty()).await;
    scene.store.configure(&scene.room, &policy(1), None, scene.clock.now()).await.unwrap();
    let events = scene.until(|events| !called(events).is_empty()).await;
    assert!(events.last().unwrap().at < opens_at);
}

#[tokio::test]
async fn the_pace_is_kept_and_used() {
    let paced = Policy { admit_per_minute: Some(120), ..policy(1000) };
    let mut scene = Scene::at(paced, Strides::of(100)).await;
    scene.join(500).await;
    scene.start(Duration::from_millis(2));
    let events = scene.until(|events| called(events).len() >= 240).await;
    let minutes = events.last().unwrap().at.since(T0) as f64 / 60_000.0;
    assert!((1.8..2.2).contains(&minutes), "240 at 120 a minute took {minutes} minutes");
    for (at, event) in events.iter().enumerate() {
        let minute = events[at..].iter().take_while(|later| later.at.since(event.at) < 60_000);
        let count = called(&minute.cloned().collect::<Vec<_>>()).len();
        assert!(count <= 120, "{count} were called within a minute");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again() {
    let clock = Strides::of(1);
    let mut scene = Scene::at(policy(40), clock.clone()).await;
    scene.start(FAST);
    let mut failures = 0;
    for round in 0..15 {
        let worse = [Fate::Unheard, Fate::Refused].into_iter().cycle().skip(round % 2).take(1 + round % 2);
        failures += worse.clone().count() as u64;
        scene.faulty.next(std::iter::repeat_n(Fate::Answered, round % 4).chain(worse));
        scene.join(3).await;
        while scene.faulty.failed() < failures {
            clock.looked_at(1).await;
        }
        let wanted = scene.store.summary(&scene.room).await.unwrap().issued.min(40);
        let events = scene.until(|events| called(events).len() as u64 >= wanted).await;
        assert_eq!(called(&events), (1..=wanted).collect::<Vec<_>>());
        // The desk looks at the time a few times a look: some looks go well before the next faults.
        clock.looked_at(20).await;
    }
}

#[tokio::test]
async fn two_replicas_call_everyone_once_in_order_within_the_capacity() {
    let mut scene = Scene::with(policy(7)).await;
    scene.start(FAST);
    scene.start(FAST);
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

#[tokio::test]
async fn progress_is_told_once_a_tick_and_only_of_changes() {
    let tick = Duration::from_millis(50);
    // Time stands still, and with it the estimate: nothing changes by itself.
    let clock = Strides::of(0);
    let mut scene = Scene::at(policy(1), clock.clone()).await;
    scene.join(3).await;
    scene.start(tick);
    let events = scene.until(|events| told(events).contains(&(Control::Open, 2, 1, 1))).await;
    let so_far = told(&events).len();
    clock.looked_at(50).await;
    assert_eq!(told(&scene.so_far().await).len(), so_far, "nothing had changed");
    let began = Instant::now();
    for _ in 0..50 {
        scene.join(1).await;
    }
    let events = scene.until(|events| told(events).contains(&(Control::Open, 52, 1, 1))).await;
    // One tick was due already.
    let ticks = began.elapsed().as_millis() / tick.as_millis() + 2;
    let since = told(&events).len() - so_far;
    assert!(since as u128 <= ticks, "{since} were told in {ticks} ticks");
}
