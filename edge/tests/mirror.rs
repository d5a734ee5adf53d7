//! Mirrors and openings over the reference store: a mirror ends where the store is, whatever the log did
//! on the way; an opening draws over whoever has come, while more are coming.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use edge::mirror::{Followed, Mirror, Mirrors};
use edge::stand_in::{Log, LogPort, TokioClock};
use kernel::contract::policy;
use kernel::contract::reference::Reference;
use kernel::control::Control;
use kernel::event::{Event, Record};
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{RoomRecord, RoomStore};
use kernel::room::{Join, Standing};
use kernel::ticket::{RoomBirth, TicketKey};
use kernel::words::{EndReason, LaneName, Ranges, RoomId, Timestamp};
use tokio_util::sync::{CancellationToken, DropGuard};

const START: Timestamp = TokioClock::START;

struct Scene {
    store: Arc<Reference>,
    mirrors: Arc<Mirrors>,
    room: RoomId,
    /// While set, events never reach the log.
    lossy: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl Scene {
    async fn with(policy: Policy) -> Self {
        let (log, lossy) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let (outbox, dropping) = (log.clone(), lossy.clone());
        let count = AtomicU64::new(0);
        let store = Reference::new(Box::new(move |events| {
            for event in events {
                let id = format!("event.{}", count.fetch_add(1, Ordering::SeqCst));
                let (room, at) = (event.room.clone(), event.at);
                if !dropping.load(Ordering::SeqCst) {
                    outbox.append(Record { id, room, at, traceparent: None, event: Event::Room(event) });
                }
            }
        }));
        let room = RoomId::parse("demo").unwrap();
        store.configure(&room, &policy, None, START).await.unwrap();
        let mirrors = Mirrors::new("node", store.clone(), Arc::new(LogPort(log)));
        let stop = CancellationToken::new();
        tokio::spawn(mirrors.clone().run(stop.clone()));
        Self { store, mirrors, room, lossy, _stop: stop.drop_guard() }
    }

    async fn join(&self, count: usize) {
        join(self.store.as_ref(), &self.room, count).await;
    }

    async fn caught_up(&self, mirror: &Mirror) {
        let version = self.store.summary(&self.room).await.unwrap().version;
        let reached = tokio::time::timeout(Duration::from_secs(60), mirror.reached(version)).await;
        reached.expect("the mirror never caught up");
        let truth = self.store.snapshot(&self.room).await.unwrap();
        assert!(mirror.read(|state| *state == truth).unwrap(), "the mirror differs from the store");
    }
}

async fn join(store: &dyn RoomStore, room: &RoomId, count: usize) {
    let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
    store.join(room, vec![one; count], START).await.unwrap();
}

#[tokio::test]
async fn a_mirror_follows_from_wherever_it_began() {
    let scene = Scene::with(policy(0)).await;
    scene.join(10).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    for round in 1..50 {
        scene.join(3).await;
        scene.store.depart(&scene.room, Ranges::one(round * 2), EndReason::Left, START).await.unwrap();
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
        scene.lossy.store(true, Ordering::SeqCst);
        scene.join(7).await;
        scene.lossy.store(false, Ordering::SeqCst);
        scene.store.fail_next(3);
        scene.store.notice(&scene.room, None, START).await.ok();
        // This one is heard, and shows that others were not.
        while scene.store.summary(&scene.room).await.is_err() {}
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
    scene.store.configure(&later, &policy(0), None, START).await.unwrap();
    assert!(scene.mirrors.follow(&later).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_ends_while_visitors_stream_in_and_nobody_is_lost() {
    let opens_at = START.plus_seconds(60);
    let lottery = Policy { opens_at: Some(opens_at), prequeue: PrequeueOrder::Lottery, ..policy(0) };
    let scene = Scene::with(lottery.clone()).await;
    scene.join(3_000).await;
    let stream = {
        let (store, room) = (scene.store.clone(), scene.room.clone());
        tokio::spawn(async move {
            // Until well past the opening, whenever that is.
            while store.summary(&room).await.unwrap().control == Control::Prequeue {
                join(store.as_ref(), &room, 5).await;
                tokio::task::yield_now().await;
            }
            join(store.as_ref(), &room, 5).await;
        })
    };
    let birth = RoomBirth { room: scene.room.clone(), born: 1 };
    let record = RoomRecord { birth, policy: lottery, visitor_key: None, lottery_secret: [9; 32] };
    let tickets = TicketKey::new(b"secret");
    edge::opening::open(scene.store.as_ref(), &record, &tickets, opens_at).await.unwrap();
    stream.await.unwrap();
    edge::opening::open(scene.store.as_ref(), &record, &tickets, opens_at).await.unwrap();
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
