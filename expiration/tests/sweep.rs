//! The sweeps over the embedded backend: who is ended, and never early. Time goes by in steps, each of which
//! the service has looked at before the next.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backend::embedded::{Embedded, InProcessPresence, Options};
use expiration::{Config, Expiration, Ports};
use kernel::contract::faulty::{Fate, Faulty};
use kernel::contract::story::Story;
use kernel::contract::{T0, policy};
use kernel::control::Control;
use kernel::event::{RoomEvent, RoomFact};
use kernel::policy::Policy;
use kernel::ports::{Clock, Lookout, Presence, Registry, RoomRecord, RoomStore, StoreError};
use kernel::room::{Call, Called, Join};
use kernel::session::{Next, Session};
use kernel::ticket::RoomBirth;
use kernel::words::{EndReason, LaneName, Number, RoomId, Timestamp};
use roaring::RoaringTreemap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);
/// Milliseconds that pass at once: no more than a watch may miss.
const STEP: u64 = 100;
/// Milliseconds, as the policy and the service have them in seconds.
const GRACE: u64 = 2_000;
const LAG: u64 = 1_000;
const CLAIM: u64 = 1_000;
/// When those end who went away: not before the grace is over, and soon after it.
const AFTER_THE_GRACE: RangeInclusive<u64> = GRACE..=GRACE + LAG + 5 * STEP;

/// Time that the test moves, and how often it was looked at.
struct HandClock {
    now: AtomicU64,
    looks: watch::Sender<u64>,
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        self.looks.send_modify(|looks| *looks += 1);
        self.peek()
    }
}

impl HandClock {
    fn peek(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn forward(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// Waits until the service has looked at the time so many times more. A watch looks once a tick, at its
    /// beginning: at the second look from now a whole tick is over.
    async fn looked_at(&self, times: u64) {
        let enough = *self.looks.borrow() + times;
        soon(self.looks.subscribe().wait_for(|looks| *looks >= enough)).await.unwrap();
    }
}

/// Presence that does not answer while the test says so.
#[derive(Default)]
struct Door {
    presence: InProcessPresence,
    broken: AtomicBool,
    /// No channel and no poll is served.
    deserted: AtomicBool,
}

#[async_trait]
impl Presence for Door {
    async fn report(
        &self,
        node: &str,
        room: &RoomId,
        present: RoaringTreemap,
        lease_seconds: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.presence.report(node, room, present, lease_seconds, now).await
    }

    async fn present(&self, room: &RoomId, now: Timestamp) -> Result<RoaringTreemap, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test wished".to_owned()));
        }
        self.presence.present(room, now).await
    }

    async fn look_out(&self, by: Lookout, lease_seconds: u64, now: Timestamp) -> Result<(), StoreError> {
        self.presence.look_out(by, lease_seconds, now).await
    }

    async fn looked_out(&self, _now: Timestamp) -> Result<bool, StoreError> {
        Ok(!self.deserted.load(Ordering::SeqCst))
    }
}

struct Scene {
    store: Embedded,
    /// The store as the service has it.
    faulty: Arc<Faulty>,
    clock: Arc<HandClock>,
    door: Arc<Door>,
    room: RoomId,
    story: Story,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    _directory: tempfile::TempDir,
}

impl Scene {
    /// A room in which `count` wait since the beginning, and the service at work.
    async fn with(capacity: u64, opens_at: Option<Timestamp>, count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
        let room = RoomId::parse("demo").unwrap();
        let (grace_seconds, claim_seconds) = (GRACE / 1000, CLAIM / 1000);
        let policy = Policy { grace_seconds, claim_seconds, opens_at, ..policy(capacity) };
        let record = RoomRecord {
            birth: RoomBirth { room: room.clone(), born: 1 },
            policy: policy.clone(),
            visitor_key: None,
            lottery_secret: [0; 32],
        };
        store.save(&record).await.unwrap();
        store.configure(&room, &policy, None, T0).await.unwrap();
        let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        store.join(&room, vec![one; count], T0).await.unwrap();
        let (now, looks) = (AtomicU64::new(T0.as_millis()), watch::Sender::new(0));
        let mut scene = Self {
            faulty: Faulty::over(Arc::new(store.clone())),
            clock: Arc::new(HandClock { now, looks }),
            door: Arc::default(),
            story: Story::of(&room, &store).await,
            room,
            store,
            running: None,
            _directory: directory,
        };
        scene.start().await;
        scene
    }

    /// Sets the service to work and waits until it has looked around.
    async fn start(&mut self) {
        let ports = Ports {
            store: self.faulty.clone(),
            registry: Arc::new(self.store.clone()),
            log: Arc::new(self.store.clone()),
            presence: self.door.clone(),
            clock: self.clock.clone(),
        };
        let config = Config { tick: TICK, lag: Duration::from_millis(LAG) };
        let stop = CancellationToken::new();
        let running = tokio::spawn(Expiration::new(config, ports).run(stop.clone()));
        self.running = Some((stop, running));
        // The first look only dates the watch.
        self.clock.looked_at(3).await;
    }

    async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.cancel();
        soon(running).await.unwrap();
    }

    async fn step(&self) {
        self.clock.forward(STEP);
        self.clock.looked_at(1).await;
    }

    /// Lets time pass, in milliseconds, under the eyes of the service.
    async fn pass(&self, millis: u64) {
        for _ in 0..millis / STEP {
            self.step().await;
        }
        self.clock.looked_at(1).await;
    }

    /// Says who is there from now on; answers when.
    async fn there(&self, numbers: &[Number]) -> Timestamp {
        let (now, present) = (self.clock.peek(), numbers.iter().copied().collect());
        self.door.report("node", &self.room, present, 86_400, now).await.unwrap();
        now
    }

    /// Calls the first `count`; answers their session.
    async fn call(&self, count: u64) -> Session {
        let (seen, now) = (self.store.counts(&self.room).await.unwrap(), self.clock.peek());
        let claim_by = now.plus_seconds(seen.policy.claim_seconds);
        let call = Call {
            per_lane: vec![count],
            called_before: seen.called,
            active_max: seen.counts.capacity,
            claim_by,
        };
        let called = self.store.call_next(&self.room, call, now).await.unwrap();
        assert!(matches!(called, Called::Numbers(numbers) if numbers.count() == count));
        Session::Called { claim_by }
    }

    /// Puts the session of a number that was called in place of its call.
    async fn claim(&self, number: Number, called: Session, active: Session) {
        let now = self.clock.peek();
        self.store.swap_session(&self.room, number, called, Next::Claimed(active), now).await.unwrap();
    }

    /// How many milliseconds after `since` each number ended, and why, so far.
    async fn ended(&mut self, since: Timestamp) -> Vec<(Number, EndReason, u64)> {
        let version = self.store.summary(&self.room).await.unwrap().version;
        let events = soon(self.story.through(version)).await;
        let of = |event: &RoomEvent| {
            let (numbers, reason) = match &event.fact {
                RoomFact::ActiveTokenReleased { number, reason } => (vec![*number], *reason),
                RoomFact::WaitingTokensDeparted { ranges, reason } => (ranges.numbers().collect(), *reason),
                _ => return Vec::new(),
            };
            let after = event.at.since(since);
            numbers.into_iter().map(|number| (number, reason, after)).collect()
        };
        events.iter().flat_map(of).collect()
    }

    /// Lets time pass until `count` have ended.
    async fn ends(&mut self, count: usize, since: Timestamp) -> Vec<(Number, EndReason, u64)> {
        for _ in 0..300 {
            let ended = self.ended(since).await;
            if ended.len() >= count {
                return ended;
            }
            self.step().await;
        }
        panic!("fewer than {count} ended: {:?}", self.ended(since).await);
    }
}

async fn soon<T>(waited: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, waited).await.expect("it never happened")
}

#[tokio::test]
async fn who_waits_and_goes_away_leaves_after_the_grace_and_who_stays_stays() {
    let mut scene = Scene::with(0, None, 3).await;
    scene.there(&[1, 2]).await;
    let ends = scene.ends(1, T0).await;
    assert_eq!(ends[0].0, 3, "it never opened a channel");
    assert!(AFTER_THE_GRACE.contains(&ends[0].2), "after {} ms", ends[0].2);
    let left_at = scene.there(&[1]).await;
    let ends = scene.ends(2, left_at).await;
    assert_eq!((ends[1].0, ends[1].1), (2, EndReason::NoShow));
    assert!(AFTER_THE_GRACE.contains(&ends[1].2), "after {} ms", ends[1].2);
    scene.pass(2 * (GRACE + LAG)).await;
    assert_eq!(scene.ended(T0).await.len(), 2, "who is there stays");
}

#[tokio::test]
async fn who_comes_back_in_time_has_the_whole_grace_again() {
    let mut scene = Scene::with(0, None, 1).await;
    for _ in 0..3 {
        scene.there(&[1]).await;
        scene.pass(2 * STEP).await;
        scene.there(&[]).await;
        scene.pass(GRACE - STEP).await;
    }
    scene.there(&[1]).await;
    scene.pass(2 * STEP).await;
    let left_at = scene.there(&[]).await;
    let ends = scene.ends(1, left_at).await;
    assert!(AFTER_THE_GRACE.contains(&ends[0].2), "after {} ms", ends[0].2);
}

#[tokio::test]
async fn before_the_opening_nobody_is_missed() {
    let mut scene = Scene::with(0, Some(T0.plus_seconds(5000)), 2).await;
    scene.pass(2 * (GRACE + LAG)).await;
    assert_eq!(scene.store.summary(&scene.room).await.unwrap().waiting, 2);
    let opened_at = scene.clock.peek();
    let opened = scene.store.control(&scene.room, Control::Prequeue, Control::Open, None, opened_at);
    assert!(opened.await.unwrap());
    let ends = scene.ends(2, opened_at).await;
    assert!(ends.iter().all(|end| AFTER_THE_GRACE.contains(&end.2)), "{ends:?}");
}

#[tokio::test]
async fn a_called_visitor_has_the_later_of_claim_and_grace_and_an_active_one_its_time() {
    let mut scene = Scene::with(3, None, 3).await;
    // Number 1 never comes, number 2 is there but does not claim, number 3 claims and stays away.
    scene.there(&[2]).await;
    scene.pass(5 * STEP).await;
    let called_at = scene.clock.peek();
    let called = scene.call(3).await;
    let active = Session::Active { claimed_at: called_at, expires_at: called_at.plus_seconds(5) };
    scene.claim(3, called, active).await;
    let ends = scene.ends(1, called_at).await;
    assert_eq!((ends[0].0, ends[0].1), (1, EndReason::NoShow));
    // The grace began when it joined, before the call: what is left of it is more than the claim window.
    let rest = GRACE - 5 * STEP;
    assert!(rest > CLAIM && (rest..=rest + LAG + 2 * STEP).contains(&ends[0].2), "after {} ms", ends[0].2);
    let ends = scene.ends(2, called_at).await;
    assert_eq!((ends[1].0, ends[1].1), (3, EndReason::Expired));
    assert!((5_000..=5_000 + 2 * STEP).contains(&ends[1].2), "after {} ms", ends[1].2);
    let left_at = scene.there(&[]).await;
    let ends = scene.ends(3, left_at).await;
    assert_eq!((ends[2].0, ends[2].1), (2, EndReason::NoShow));
    assert!(AFTER_THE_GRACE.contains(&ends[2].2), "after {} ms", ends[2].2);
}

#[tokio::test]
async fn while_nobody_knows_who_is_there_only_time_ends_anybody() {
    let mut scene = Scene::with(2, None, 3).await;
    let called = scene.call(2).await;
    let active = Session::Active { claimed_at: T0, expires_at: T0.plus_seconds(5) };
    scene.claim(1, called, active).await;
    scene.door.broken.store(true, Ordering::SeqCst);
    let ends = scene.ends(1, T0).await;
    assert_eq!((ends[0].0, ends[0].1), (1, EndReason::Expired));
    assert!((5_000..=5_000 + 2 * STEP).contains(&ends[0].2), "after {} ms", ends[0].2);
    scene.pass(GRACE + LAG + STEP).await;
    let known_at = scene.clock.peek();
    scene.door.broken.store(false, Ordering::SeqCst);
    let ends = scene.ends(3, known_at).await;
    assert_eq!(ends.len(), 3);
    let in_time =
        |end: &(Number, EndReason, u64)| end.1 == EndReason::NoShow && AFTER_THE_GRACE.contains(&end.2);
    assert!(ends[1..].iter().all(in_time), "{ends:?}");
}

#[tokio::test]
async fn while_nobody_could_be_seen_nobody_is_away() {
    let mut scene = Scene::with(0, None, 2).await;
    scene.there(&[1, 2]).await;
    scene.pass(GRACE - STEP).await;
    // Every process that serves channels falls.
    scene.there(&[]).await;
    scene.door.deserted.store(true, Ordering::SeqCst);
    scene.pass(3 * GRACE).await;
    assert_eq!(scene.ended(T0).await, []);
    scene.door.deserted.store(false, Ordering::SeqCst);
    let back_at = scene.there(&[2]).await;
    let ends = scene.ends(1, back_at).await;
    assert_eq!((ends[0].0, ends[0].1), (1, EndReason::NoShow));
    assert!(AFTER_THE_GRACE.contains(&ends[0].2), "after {} ms", ends[0].2);
}

#[tokio::test]
async fn after_a_start_of_ours_grace_and_claim_begin_anew() {
    let mut scene = Scene::with(1, None, 2).await;
    scene.call(1).await;
    scene.pass(GRACE - STEP).await;
    scene.stop().await;
    scene.clock.forward(500_000);
    let restarted_at = scene.clock.peek();
    scene.start().await;
    let ends = scene.ends(2, restarted_at).await;
    assert!(ends.iter().all(|end| AFTER_THE_GRACE.contains(&end.2)), "{ends:?}");
}

#[tokio::test]
async fn time_that_nobody_watched_is_not_held_against_anybody() {
    let mut scene = Scene::with(0, None, 2).await;
    scene.pass(GRACE - STEP).await;
    scene.clock.forward(500_000);
    let awake_at = scene.clock.peek();
    let ends = scene.ends(2, awake_at).await;
    assert!(ends.iter().all(|end| AFTER_THE_GRACE.contains(&end.2)), "{ends:?}");
}

#[tokio::test]
async fn a_store_that_fails_costs_time_and_nobody_their_place() {
    let mut scene = Scene::with(0, None, 40).await;
    scene.there(&(1..=20).collect::<Vec<_>>()).await;
    let mut ends = Vec::new();
    for round in 0..60 {
        scene.faulty.next([Fate::Refused, Fate::Unheard].into_iter().cycle().skip(round % 2).take(2));
        scene.pass(3 * STEP).await;
        ends = scene.ended(T0).await;
        if ends.len() >= 20 {
            break;
        }
    }
    let gone: Vec<_> = ends.iter().map(|end| end.0).collect();
    assert_eq!(gone, (21..=40).collect::<Vec<_>>());
    assert!(ends.iter().all(|end| end.2 >= GRACE), "{ends:?}");
    assert!(scene.faulty.failed() >= 20, "the store failed only {} times", scene.faulty.failed());
}
