//! Whoever is told that a mirror is level sees all that was answered to anybody before they asked, at a price
//! to the store that does not depend on how many ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backend::embedded::Embedded;
use edge::mirror::{Level, Mirror};
use kernel::contract::faulty::Fate;
use kernel::contract::policy;
use kernel::ports::{Rebuilt, RoomKeeper, RoomStore, StoreError};
use kernel::room::Room;
use kernel::words::{RoomId, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::scene::{LONG, Scene};
use crate::unruly::Order;

/// Counts what the store is asked, and keeps the answers back as long as it is shut.
struct Watched {
    store: Embedded,
    asked: AtomicU64,
    open: watch::Sender<bool>,
}

impl RoomKeeper for Watched {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.store.act(room, act).await;
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        answer
    }

    async fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        make: impl FnMut() -> Room + Send + 'static,
    ) -> Result<(), StoreError> {
        self.store.act_or_make(room, act, make).await
    }

    async fn remake(&self, room: &RoomId, now: Timestamp) -> Result<Rebuilt, StoreError> {
        self.store.remake(room, now).await
    }
}

fn watched(scene: &Scene) -> (Arc<Watched>, Arc<dyn RoomStore>) {
    let store = scene.store.clone();
    let watched = Arc::new(Watched { store, asked: AtomicU64::new(0), open: watch::Sender::new(true) });
    (watched.clone(), watched)
}

/// A mirror that hears of the room by the log from here on.
async fn followed(scene: &Scene) -> Arc<Mirror> {
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(1).await;
    scene.caught_up(&mirror).await;
    mirror
}

fn issued(mirror: &Mirror) -> u64 {
    mirror.read(|state| state.issued).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_seen_by_all_who_ask_after_it() {
    let scene = Scene::with(policy(0)).await;
    let (mirror, (watched, store)) = (followed(&scene).await, watched(&scene));
    let mut askers = JoinSet::new();
    let began = Instant::now();
    for joined in 2..300 {
        scene.join(1).await;
        for _ in 0..20 {
            let (mirror, store) = (mirror.clone(), store.clone());
            askers.spawn(async move {
                assert_eq!(mirror.level(&store, LONG).await, Ok(Level::Reached));
                assert!(issued(&mirror) >= joined, "{} of {joined}", issued(&mirror));
            });
        }
    }
    while let Some(asked) = askers.join_next().await {
        asked.unwrap();
    }
    let (asked, most) = (watched.asked.load(Ordering::SeqCst), began.elapsed().as_millis() as u64 / 2 + 2);
    assert!((1..=most).contains(&asked), "{asked} looks, at most {most} in this time");
}

#[tokio::test]
async fn a_look_under_way_is_too_old_for_who_comes_now() {
    let scene = Scene::with(policy(0)).await;
    let (mirror, (watched, store)) = (followed(&scene).await, watched(&scene));
    let ask = || {
        let (mirror, store) = (mirror.clone(), store.clone());
        tokio::spawn(async move { mirror.level(&store, LONG).await })
    };
    scene.unruly.order.send_replace(Order::Held);
    watched.open.send_replace(false);
    let (early, gone) = (ask(), ask());
    asked(&watched, 1).await;
    scene.join(1).await;
    // The first of those who wait for the second look goes away, and takes nothing from the others.
    let (given_up, late) = (ask(), ask());
    tokio::task::yield_now().await;
    gone.abort();
    given_up.abort();
    watched.open.send_replace(true);
    assert_eq!(early.await.unwrap(), Ok(Level::Reached));
    asked(&watched, 2).await;
    assert!(!late.is_finished(), "it was served by a look that began before it came");
    scene.unruly.order.send_replace(Order::AsItComes);
    assert_eq!(late.await.unwrap(), Ok(Level::Reached));
    assert_eq!(issued(&mirror), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_its_version_at_hand_is_not_asked() {
    let scene = Scene::with(policy(0)).await;
    let (mirror, store): (_, Arc<dyn RoomStore>) = (followed(&scene).await, Arc::new(scene.store.clone()));
    for joined in 2..300 {
        scene.join(1).await;
        assert_eq!(store.version_at_hand(&scene.room), Some(scene.version().await));
        assert_eq!(mirror.level(&store, LONG).await, Ok(Level::Reached));
        assert_eq!(issued(&mirror), joined);
    }
}

async fn asked(watched: &Watched, times: u64) {
    while watched.asked.load(Ordering::SeqCst) < times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_log_that_stands_still_is_waited_for_once() {
    let scene = Scene::with(policy(0)).await;
    let (mirror, (_, store)) = (followed(&scene).await, watched(&scene));
    scene.unruly.order.send_replace(Order::Held);
    scene.join(1).await;
    let patience = Duration::from_secs(1);
    assert_eq!(mirror.level(&store, patience).await, Ok(Level::Behind));
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(mirror.level(&store, patience).await, Ok(Level::Behind));
    }
    assert!(began.elapsed() < patience, "everybody waits anew: {:?}", began.elapsed());
    scene.unruly.order.send_replace(Order::AsItComes);
    scene.caught_up(&mirror).await;
    assert_eq!(mirror.level(&store, patience).await, Ok(Level::Reached));
}

#[tokio::test]
async fn a_store_that_fails_fails_those_who_waited_and_nobody_after() {
    let scene = Scene::with(policy(0)).await;
    let mirror = followed(&scene).await;
    let store: Arc<dyn RoomStore> = scene.faulty.clone();
    scene.faulty.next([Fate::Refused]);
    assert!(matches!(mirror.level(&store, LONG).await, Err(StoreError::Unavailable(_))));
    assert_eq!(mirror.level(&store, LONG).await, Ok(Level::Reached));
}
