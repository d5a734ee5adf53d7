//! Several processes over the same rooms on Redis, on wires that are cut.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use backend::cluster::redis::RedisRooms;
use futures_util::poll;
use kernel::contract::model::agrees_with_the_kernel;
use kernel::contract::{T0, policy};
use kernel::ports::{Rebuilt, RoomKeeper, RoomStore, StoreError};
use kernel::room::{Join, Room};
use kernel::words::{Digest, RoomId, Timestamp};
use redis_scene::wire::Wire;
use redis_scene::{Scene, anybody, joined, numbers, room};
use tokio::task::JoinSet;

/// Histories that two processes share.
const SHARED: u64 = 200;
const AT_ONCE: u64 = 100;

/// Two processes, one of which does the next thing: which follows from a seed.
struct Either {
    processes: [RedisRooms; 2],
    turn: AtomicU64,
}

impl Either {
    fn next(&self) -> &RedisRooms {
        let turn = self.turn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (turn ^ (turn >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        &self.processes[usize::from(mixed >> 63 == 1)]
    }
}

impl RoomKeeper for Either {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.next().act(room, act).await
    }

    async fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        make: impl FnMut() -> Room + Send + 'static,
    ) -> Result<(), StoreError> {
        self.next().act_or_make(room, act, make).await
    }

    async fn remake(&self, room: &RoomId, now: Timestamp) -> Result<Rebuilt, StoreError> {
        self.next().remake(room, now).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_answer_as_one_kernel() {
    let scene = Scene::fresh().await;
    let processes = [scene.process().await, scene.process().await];
    let mut lanes = JoinSet::new();
    for first in 0..AT_ONCE {
        let processes = processes.clone();
        lanes.spawn(async move {
            for seed in (first..SHARED).step_by(AT_ONCE as usize) {
                let turn = AtomicU64::new(seed);
                let either = Either { processes: processes.clone(), turn };
                agrees_with_the_kernel(Arc::new(either), seed).await;
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_join_at_once_give_every_number_once() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    scene.process().await.configure(&hall, &policy(0), None, T0).await.unwrap();
    let mut joining = JoinSet::new();
    for _ in 0..4 {
        let process = scene.process().await;
        for _ in 0..4 {
            let (process, hall) = (process.clone(), hall.clone());
            joining.spawn(async move {
                let mut given = Vec::new();
                for batch in 1..=40 {
                    given.extend(joined(&process, &hall, batch).await);
                }
                assert!(given.is_sorted(), "a caller's later joins stand behind its earlier ones");
                given
            });
        }
    }
    let given: Vec<_> = joining.join_all().await.concat();
    let most = 16 * (1..=40).sum::<u64>();
    assert_eq!(given.len() as u64, most);
    assert_eq!(given.into_iter().collect::<BTreeSet<_>>(), (1..=most).collect());
    let process = scene.process().await;
    let state = process.snapshot(&hall).await.unwrap();
    assert_eq!((state.issued, state.line.waiting()), (most, most));
}

/// Every batch is one of known visitors, so that one that was done twice would show.
#[tokio::test(flavor = "multi_thread")]
async fn a_wire_cut_in_the_middle_of_a_join_gives_each_batch_once() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    let wire = Wire::to(&scene.url).await;
    let (cut, calm) = (scene.process_by(&wire.url).await, scene.process().await);
    cut.configure(&hall, &policy(0), None, T0).await.unwrap();
    let mut beside = JoinSet::new();
    for turn in 0..60_u64 {
        match turn % 3 {
            0 => wire.lose_an_answer(),
            1 => wire.lose_a_request(),
            _ => {}
        }
        let (calm, name) = (calm.clone(), hall.clone());
        beside.spawn(async move { joined(&calm, &name, 3).await });
        let known =
            |who: u64| Join { visitor: Some(Digest::of(&[&(turn * 10 + who).to_be_bytes()])), ..anybody() };
        let given = numbers(&cut.join(&hall, (0..5).map(known).collect(), T0).await.unwrap());
        let first = given[0];
        assert_eq!(given, (first..first + 5).collect::<Vec<_>>());
    }
    assert!(wire.cuts() >= 30, "the wire was cut {} times only", wire.cuts());
    beside.join_all().await;
    let state = calm.snapshot(&hall).await.unwrap();
    assert_eq!(state.issued, 60 * 8, "somebody joined twice, or not at all");
    assert_eq!(cut.snapshot(&hall).await.unwrap(), state);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_panics_fails_alone() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    scene.process().await.configure(&hall, &policy(0), None, T0).await.unwrap();
    // Has reserved no numbers yet: who joins has to wait for some, with nobody behind.
    let process = scene.process().await;
    let ((begin, begun), (come, others)) = (mpsc::channel(), mpsc::channel());
    let mut broken = Box::pin(process.act(&hall, move |room| {
        room.join(&[anybody()], T0);
        begin.send(()).unwrap();
        others.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(room.state().issued > 100, "a fault of ours");
    }));
    // A call is on its way to the room once it was polled; the second one comes while the first is at work.
    assert!(poll!(&mut broken).is_pending());
    begun.recv_timeout(Duration::from_secs(20)).unwrap();
    let mut beside = Box::pin(process.join(&hall, vec![anybody(); 2], T0));
    assert!(poll!(&mut beside).is_pending());
    come.send(()).unwrap();
    let (broken, joined) = tokio::join!(broken, beside);
    assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
    assert_eq!(numbers(&joined.unwrap()), [1, 2]);
}
