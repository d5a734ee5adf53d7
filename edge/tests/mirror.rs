//! Mirrors and openings over the embedded backend: a mirror ends where the store is, whatever the log did
//! on the way; an opening draws over whoever has come, while more are coming.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backend::embedded::{Embedded, Options};
use edge::mirror::{Followed, Mirror, Mirrors};
use kernel::contract::faulty::{Fate, Faulty};
use kernel::contract::{T0, policy};
use kernel::control::Control;
use kernel::event::{Event, Record, RoomEvent};
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Consumer, Delivery, EventLog, LogError, RoomRecord, RoomStore, Subscription};
use kernel::room::{Join, Standing};
use kernel::ticket::{RoomBirth, TicketKey};
use kernel::words::{EndReason, LaneName, Ranges, RoomId};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A log that loses what the test says, whenever it is delivered.
struct Lossy {
    log: Embedded,
    lost: Lost,
}

/// Events of the room by their `seq`.
type Lost = Arc<Mutex<Range<u64>>>;

#[async_trait]
impl EventLog for Lossy {
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        self.log.publish(records).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        let consumer = self.log.subscribe(subscription).await?;
        Ok(Box::new(Loser { consumer, lost: self.lost.clone() }))
    }

    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
        self.log.history(room).await
    }

    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        self.log.set_aside(group, delivery, error, attempts).await
    }
}

struct Loser {
    consumer: Box<dyn Consumer>,
    lost: Lost,
}

#[async_trait]
impl Consumer for Loser {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, LogError> {
        loop {
            let mut batch = self.consumer.next(limit).await?;
            let lost = self.lost.lock().unwrap().clone();
            batch.retain(|delivery| match &delivery.record.event {
                Event::Room(event) => !lost.contains(&event.seq),
                Event::Payment(_) | Event::Cancellation(_) | Event::Reply(_) => true,
            });
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError> {
        self.consumer.commit(delivery).await
    }
}

struct Scene {
    store: Embedded,
    /// The store as the mirrors have it.
    faulty: Arc<Faulty>,
    mirrors: Arc<Mirrors>,
    room: RoomId,
    lost: Lost,
    _stop: DropGuard,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn with(policy: Policy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
        let (room, lost) = (RoomId::parse("demo").unwrap(), Lost::default());
        store.configure(&room, &policy, None, T0).await.unwrap();
        let log = Lossy { log: store.clone(), lost: lost.clone() };
        let faulty = Faulty::over(Arc::new(store.clone()));
        let mirrors = Mirrors::new("node", faulty.clone(), Arc::new(log));
        let stop = CancellationToken::new();
        tokio::spawn(mirrors.clone().run(stop.clone()));
        Self { store, faulty, mirrors, room, lost, _stop: stop.drop_guard(), _directory: directory }
    }

    async fn version(&self) -> u64 {
        self.store.summary(&self.room).await.unwrap().version
    }

    async fn join(&self, count: usize) {
        join(&self.store, &self.room, count).await;
    }

    async fn caught_up(&self, mirror: &Mirror) {
        let version = self.version().await;
        let reached = tokio::time::timeout(Duration::from_secs(60), mirror.reached(version)).await;
        reached.expect("the mirror never caught up");
        let truth = self.store.snapshot(&self.room).await.unwrap();
        assert!(mirror.read(|state| *state == truth).unwrap(), "the mirror differs from the store");
    }
}

async fn join(store: &dyn RoomStore, room: &RoomId, count: usize) {
    let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
    store.join(room, vec![one; count], T0).await.unwrap();
}

#[tokio::test]
async fn a_mirror_follows_from_wherever_it_began() {
    let scene = Scene::with(policy(0)).await;
    scene.join(10).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    for round in 1..50 {
        scene.join(3).await;
        scene.store.depart(&scene.room, Ranges::one(round * 2), EndReason::Left, T0).await.unwrap();
        scene.caught_up(&mirror).await;
    }
}

#[tokio::test]
async fn a_mirror_that_missed_events_copies_the_room_anew_and_says_so() {
    let scene = Scene::with(policy(0)).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(5).await;
    scene.caught_up(&mirror).await;
    for _ in 0..5 {
        let mut heard = mirror.listen();
        let unheard_from = scene.version().await + 1;
        *scene.lost.lock().unwrap() = unheard_from..u64::MAX;
        scene.join(7).await;
        *scene.lost.lock().unwrap() = unheard_from..scene.version().await + 1;
        scene.faulty.next([Fate::Refused, Fate::Unheard]);
        // This one is heard, and shows that others were not.
        scene.join(1).await;
        scene.caught_up(&mirror).await;
        let first = heard.recv().await.unwrap();
        assert!(matches!(first, Followed::Anew), "{first:?}");
    }
}

#[tokio::test]
async fn a_room_nobody_made_cannot_be_followed_until_it_is_made() {
    let scene = Scene::with(policy(0)).await;
    let later = RoomId::parse("later").unwrap();
    assert!(scene.mirrors.follow(&later).await.is_err());
    scene.store.configure(&later, &policy(0), None, T0).await.unwrap();
    assert!(scene.mirrors.follow(&later).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_ends_while_visitors_stream_in_and_nobody_is_lost() {
    let opens_at = T0.plus_seconds(60);
    let lottery = Policy { opens_at: Some(opens_at), prequeue: PrequeueOrder::Lottery, ..policy(0) };
    let scene = Scene::with(lottery.clone()).await;
    scene.join(3_000).await;
    let stream = {
        let (store, room) = (scene.store.clone(), scene.room.clone());
        tokio::spawn(async move {
            // Until well past the opening, whenever that is.
            while store.summary(&room).await.unwrap().control == Control::Prequeue {
                join(&store, &room, 5).await;
                tokio::task::yield_now().await;
            }
            join(&store, &room, 5).await;
        })
    };
    let birth = RoomBirth { room: scene.room.clone(), born: 1 };
    let record = RoomRecord { birth, policy: lottery, visitor_key: None, lottery_secret: [9; 32] };
    let tickets = TicketKey::new(b"secret");
    edge::opening::open(&scene.store, &record, &tickets, opens_at).await.unwrap();
    stream.await.unwrap();
    edge::opening::open(&scene.store, &record, &tickets, opens_at).await.unwrap();
    let copy = scene.store.snapshot(&scene.room).await.unwrap();
    let drawn = copy.drawn.clone().unwrap();
    assert!((3_000..=copy.issued).contains(&drawn.frozen), "{} of {}", drawn.frozen, copy.issued);
    let mut positions: Vec<_> = (1..=copy.issued)
        .map(|number| match copy.standing(number) {
            Standing::Waiting(spot) => spot.position,
            other => panic!("{number} is {other:?}"),
        })
        .collect();
    assert!(positions[drawn.frozen as usize..].is_sorted(), "who came later stands behind, in order");
    positions.sort_unstable();
    assert!(positions.into_iter().eq(1..=copy.issued));
}
