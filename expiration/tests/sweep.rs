//! The sweeps over the reference store, in tokio's stopped time: who is ended, and never early.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use edge::stand_in::{LogPort, TokioClock, World};
use expiration::{Config, Expiration, Ports};
use kernel::contract::policy;
use kernel::control::Control;
use kernel::event::{RoomEvent, RoomFact};
use kernel::policy::Policy;
use kernel::ports::{Clock, Presence, Registry, RoomRecord, RoomStore, StoreError};
use kernel::room::{Call, Called, Join};
use kernel::session::{Next, Session};
use kernel::ticket::RoomBirth;
use kernel::words::{EndReason, LaneName, Number, RoomId, Timestamp};
use roaring::RoaringTreemap;
use tokio_util::sync::{CancellationToken, DropGuard};

const START: Timestamp = TokioClock::START;

/// Whoever the test says is there.
#[derive(Default)]
struct Door {
    there: Mutex<RoaringTreemap>,
    broken: AtomicBool,
}

#[async_trait]
impl Presence for Door {
    async fn report(
        &self,
        _node: &str,
        _room: &RoomId,
        present: RoaringTreemap,
        _lease_seconds: u64,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        *self.there.lock().unwrap() = present;
        Ok(())
    }

    async fn present(&self, _room: &RoomId, _now: Timestamp) -> Result<RoaringTreemap, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test wished".to_owned()));
        }
        Ok(self.there.lock().unwrap().clone())
    }
}

struct Scene {
    world: World,
    door: Arc<Door>,
    room: RoomId,
    stop: Option<DropGuard>,
}

impl Scene {
    /// A room with grace 60 and claim 10 seconds in which `count` wait.
    async fn with(capacity: u64, opens_at: Option<Timestamp>, count: usize) -> Self {
        let (world, room) = (World::new(), RoomId::parse("demo").unwrap());
        let policy = Policy { claim_seconds: 10, opens_at, ..policy(capacity) };
        let record = RoomRecord {
            birth: RoomBirth { room: room.clone(), born: 1 },
            policy: policy.clone(),
            visitor_key: None,
            lottery_secret: [0; 32],
        };
        world.registry.save(&record).await.unwrap();
        world.store.configure(&room, &policy, None, START).await.unwrap();
        let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        world.store.join(&room, vec![one; count], START).await.unwrap();
        let mut scene = Self { world, door: Arc::default(), room, stop: None };
        scene.start();
        scene
    }

    /// Starts the service; one that ran before is stopped.
    fn start(&mut self) {
        let ports = Ports {
            store: self.world.store.clone(),
            registry: self.world.registry.clone(),
            log: Arc::new(LogPort(self.world.log.clone())),
            presence: self.door.clone(),
            clock: self.world.clock.clone(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(Expiration::new(Config::default(), ports).run(stop.clone()));
        self.stop = Some(stop.drop_guard());
    }

    fn there(&self, numbers: &[Number]) {
        *self.door.there.lock().unwrap() = numbers.iter().copied().collect();
    }

    /// Calls the first `count`; answers their session.
    async fn call(&self, count: u64) -> Session {
        let (seen, now) = (self.world.store.counts(&self.room).await.unwrap(), self.world.clock.now());
        let claim_by = now.plus_seconds(seen.policy.claim_seconds);
        let call = Call {
            per_lane: vec![count],
            called_before: seen.called,
            active_max: seen.counts.capacity,
            claim_by,
        };
        let called = self.world.store.call_next(&self.room, call, now).await.unwrap();
        assert!(matches!(called, Called::Numbers(numbers) if numbers.count() == count));
        Session::Called { claim_by }
    }

    /// How many seconds after `since` each number ended, and why.
    async fn ends(&self, count: usize, since: Timestamp) -> Vec<(Number, EndReason, u64)> {
        let found = |events: &[RoomEvent]| {
            let of = |event: &RoomEvent| {
                let (numbers, reason) = match &event.fact {
                    RoomFact::ActiveTokenReleased { number, reason } => (vec![*number], *reason),
                    RoomFact::WaitingTokensDeparted { ranges, reason } => {
                        (ranges.numbers().collect(), *reason)
                    }
                    _ => return Vec::new(),
                };
                let after = event.at.since(since) / 1000;
                numbers.into_iter().map(|number| (number, reason, after)).collect()
            };
            events.iter().flat_map(of).collect::<Vec<_>>()
        };
        let waited = self.world.log.until(&self.room, |events| found(events).len() >= count);
        let events = tokio::time::timeout(Duration::from_secs(3600), waited).await.expect("nobody ended");
        found(&events)
    }
}

/// Lets virtual time pass.
async fn pass(seconds: u64) {
    // sleep: time is stopped; this moves it
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_goes_away_leaves_after_the_grace_and_who_stays_stays() {
    let scene = Scene::with(0, None, 3).await;
    scene.there(&[1, 2]);
    let ends = scene.ends(1, START).await;
    assert_eq!(ends[0].0, 3, "it never opened a channel");
    assert!((60..=65).contains(&ends[0].2), "after {} seconds", ends[0].2);
    let left_at = scene.world.clock.now();
    scene.there(&[1]);
    let ends = scene.ends(2, left_at).await;
    assert_eq!((ends[1].0, ends[1].1), (2, EndReason::NoShow));
    assert!((60..=65).contains(&ends[1].2), "after {} seconds", ends[1].2);
    pass(600).await;
    assert_eq!(scene.ends(2, START).await.len(), 2, "who is there stays");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_in_time_has_the_whole_grace_again() {
    let scene = Scene::with(0, None, 1).await;
    for _ in 0..5 {
        scene.there(&[1]);
        pass(3).await;
        scene.there(&[]);
        pass(59).await;
    }
    scene.there(&[1]);
    pass(3).await;
    scene.there(&[]);
    let left_at = scene.world.clock.now();
    assert!((59..=65).contains(&scene.ends(1, left_at).await[0].2));
}

#[tokio::test(start_paused = true)]
async fn before_the_opening_nobody_is_missed() {
    let scene = Scene::with(0, Some(START.plus_seconds(5000)), 2).await;
    pass(1000).await;
    assert_eq!(scene.world.store.summary(&scene.room).await.unwrap().waiting, 2);
    let opened_at = scene.world.clock.now();
    let opened = scene.world.store.control(&scene.room, Control::Prequeue, Control::Open, None, opened_at);
    assert!(opened.await.unwrap());
    let ends = scene.ends(2, opened_at).await;
    assert!(ends.iter().all(|end| (60..=65).contains(&end.2)), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_called_visitor_has_the_later_of_claim_and_grace_and_an_active_one_its_time() {
    let scene = Scene::with(3, None, 3).await;
    // Number 1 never comes, number 2 is there but does not claim, number 3 claims and stays away.
    scene.there(&[2]);
    pass(30).await;
    let called_at = scene.world.clock.now();
    let called = scene.call(3).await;
    let active = Session::Active { claimed_at: called_at, expires_at: called_at.plus_seconds(300) };
    scene.world.store.swap_session(&scene.room, 3, called, Next::Claimed(active), called_at).await.unwrap();
    let ends = scene.ends(1, called_at).await;
    assert_eq!((ends[0].0, ends[0].1), (1, EndReason::NoShow));
    // The grace began when it joined, 30 seconds before the call: 30 are left, more than the claim window.
    assert!((30..=35).contains(&ends[0].2), "after {} seconds", ends[0].2);
    let ends = scene.ends(2, called_at).await;
    assert_eq!((ends[1].0, ends[1].1), (3, EndReason::Expired));
    assert!((300..=302).contains(&ends[1].2), "after {} seconds", ends[1].2);
    let left_at = scene.world.clock.now();
    scene.there(&[]);
    let ends = scene.ends(3, left_at).await;
    assert_eq!((ends[2].0, ends[2].1), (2, EndReason::NoShow));
    assert!((59..=65).contains(&ends[2].2), "after {} seconds", ends[2].2);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_knows_who_is_there_only_time_ends_anybody() {
    let scene = Scene::with(2, None, 3).await;
    let called = scene.call(2).await;
    let active = Session::Active { claimed_at: START, expires_at: START.plus_seconds(300) };
    scene.world.store.swap_session(&scene.room, 1, called, Next::Claimed(active), START).await.unwrap();
    scene.door.broken.store(true, Ordering::SeqCst);
    let ends = scene.ends(1, START).await;
    assert_eq!((ends[0].0, ends[0].1), (1, EndReason::Expired));
    pass(100).await;
    let known_at = scene.world.clock.now();
    scene.door.broken.store(false, Ordering::SeqCst);
    let ends = scene.ends(3, known_at).await;
    assert_eq!(ends.len(), 3);
    assert!(ends[1..].iter().all(|end| end.1 == EndReason::NoShow && (60..=65).contains(&end.2)), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_start_of_ours_grace_and_claim_begin_anew() {
    let mut scene = Scene::with(1, None, 2).await;
    scene.call(1).await;
    pass(50).await;
    scene.stop = None;
    pass(500).await;
    let restarted_at = scene.world.clock.now();
    scene.start();
    let ends = scene.ends(2, restarted_at).await;
    assert!(ends.iter().all(|end| (60..=65).contains(&end.2)), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_costs_time_and_nobody_their_place() {
    let scene = Scene::with(0, None, 40).await;
    scene.there(&(1..=20).collect::<Vec<_>>());
    for _ in 0..40 {
        scene.world.store.fail_next(5);
        pass(1).await;
    }
    let ends = scene.ends(20, START).await;
    let gone: Vec<_> = ends.iter().map(|end| end.0).collect();
    assert_eq!(gone, (21..=40).collect::<Vec<_>>());
    assert!(ends.iter().all(|end| end.2 >= 60), "{ends:?}");
}
