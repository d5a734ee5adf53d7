//! A Redis that is restarted, killed, emptied, or set back, in the middle of it all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend::cluster::redis::RedisRooms;
use kernel::contract::story::Story;
use kernel::contract::{T0, policy};
use kernel::ports::{EventLog, RoomStore, StoreError};
use kernel::room::{Join, Joined, Returning, Room, Standing, Swapped};
use kernel::session::{Next, Session};
use kernel::words::{Digest, EndReason, Number, Ranges, RoomId};
use redis::aio::MultiplexedConnection;
use redis_scene::gated::Gated;
use redis_scene::wire::Wire;
use redis_scene::{Scene, anybody, joined, numbers, room, url, within};
use tempfile::TempDir;
use tokio::task::JoinSet;
use xtask::services::Service;

/// A Redis of the test's own, as it may be treated badly.
async fn own_redis() -> (Service, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let service = tokio::task::spawn_blocking(move || Service::redis(&path)).await.unwrap().unwrap();
    (service, directory)
}

async fn told(scene: &Scene, hall: &RoomId, seq: u64) {
    within("the log has everything", Story::of(hall, &scene.log).await.through(seq)).await;
}

/// Joins one after another until told to stop; what was acknowledged.
async fn join_on(process: RedisRooms, hall: RoomId, stop: Arc<AtomicBool>) -> Vec<Number> {
    let mut given = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        match process.join(&hall, vec![anybody(); 3], T0).await {
            Ok(answers) => given.extend(numbers(&answers)),
            // Nothing is known of these.
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    given
}

async fn survives(break_it: impl FnOnce(&mut Service) + Send + 'static) {
    let (mut service, _directory) = own_redis().await;
    let scene = Scene::on(&service.url()).await;
    let hall = room("hall");
    let processes = [scene.process().await, scene.process().await];
    let _relay = scene.relay(&processes[0]);
    processes[0].configure(&hall, &policy(0), None, T0).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut joining = JoinSet::new();
    for process in &processes {
        for _ in 0..8 {
            joining.spawn(join_on(process.clone(), hall.clone(), stop.clone()));
        }
    }
    let issued = async |most: Number| {
        within("joins go on", async {
            while processes[1].summary(&hall).await.map_or(0, |seen| seen.issued) < most {}
        })
        .await;
    };
    issued(300).await;
    let service = tokio::task::spawn_blocking(move || {
        break_it(&mut service);
        service
    });
    let service = service.await.unwrap();
    let before = processes[1].summary(&hall).await.unwrap().issued;
    issued(before + 300).await;
    stop.store(true, Ordering::SeqCst);
    let given = joining.join_all().await.concat();
    let state = processes[0].snapshot(&hall).await.unwrap();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "a number was given twice");
    assert!(given.iter().all(|number| state.line.contains(*number)), "an acknowledged place is gone");
    assert!(state.seq < 1 << 32, "nothing was lost, and yet the room was made anew");
    told(&scene, &hall, state.seq).await;
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_joins_loses_nothing() {
    survives(|service| service.restart().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_joins_loses_nothing() {
    survives(|service| {
        service.kill_9().unwrap();
        service.restart().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_after_some_seconds_and_forgotten_afterwards() {
    let (mut service, _directory) = own_redis().await;
    let scene = Scene::on(&service.url()).await;
    let (hall, process) = (room("hall"), scene.process().await);
    process.configure(&hall, &policy(0), None, T0).await.unwrap();
    service.kill_9().unwrap();
    assert!(process.answers().await.is_err());
    let began = std::time::Instant::now();
    let (join, read) = tokio::join!(process.join(&hall, vec![anybody()], T0), process.summary(&hall));
    assert!(matches!(join, Err(StoreError::Unavailable(_))), "{join:?}");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?} to be told", began.elapsed());
    let restarted = tokio::task::spawn_blocking(move || service.restart().map(|()| service));
    let _service = restarted.await.unwrap().unwrap();
    assert_eq!(joined(&process, &hall, 2).await, [1, 2]);
    process.answers().await.unwrap();
}

/// Everything that was relayed stands as it stood; what was not is put back when its ticket is shown.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_is_filled_from_the_log() {
    let scene = Scene::fresh().await;
    let log = Arc::new(Gated::new(scene.log.clone()));
    let (one, two) = (scene.process_with(log.clone()).await, scene.process_with(log.clone()).await);
    let _relay = scene.relay(&one);
    let hall = room("hall");
    one.configure(&hall, &policy(5), None, T0).await.unwrap();
    let known = |who: &str| Join { visitor: Some(Digest::of(&[who.as_bytes()])), ..anybody() };
    let key = Join { key: Some(Digest::of(&[b"key"])), ..anybody() };
    numbers(&one.join(&hall, vec![known("ann"), key.clone(), anybody()], T0).await.unwrap());
    joined(&two, &hall, 20).await;
    two.depart(&hall, Ranges::one(7), EndReason::Left, T0).await.unwrap();
    let relayed = two.snapshot(&hall).await.unwrap();
    told(&scene, &hall, relayed.seq).await;

    log.close();
    let late = numbers(&two.join(&hall, vec![known("bob"), anybody()], T0).await.unwrap());
    assert_eq!(late, [24, 25]);
    scene.emptied().await;
    log.open();

    // By itself, for whoever comes first.
    let state = two.snapshot(&hall).await.unwrap();
    assert!(state.seq >= 1 << 32);
    let waiting: Vec<_> = state.line.everyone().collect();
    assert_eq!(waiting, relayed.line.everyone().collect::<Vec<_>>());
    assert_eq!(two.seen(&hall, 7).await.unwrap().standing, Standing::Ended(EndReason::Left));
    assert_eq!(one.snapshot(&hall).await.unwrap(), state);
    let held = one.join(&hall, vec![known("ann"), key], T0).await.unwrap();
    assert_eq!([held[0].joined, held[1].joined], [Joined::Held(1), Joined::Held(2)]);

    let bob = Returning { number: 24, visitor: Some(Digest::of(&[b"bob"])) };
    assert!(matches!(one.reinstate(&hall, bob, T0).await.unwrap().standing, Standing::Waiting(_)));
    let held = two.join(&hall, vec![known("bob")], T0).await.unwrap();
    assert_eq!(held[0].joined, Joined::Held(24));
    let next = joined(&two, &hall, 1).await;
    assert!(next[0] > 10_000, "{next:?} may have been given before");

    let state = one.snapshot(&hall).await.unwrap();
    within("the log goes on behind the jump", async {
        loop {
            let history = scene.log.history(&hall).await.unwrap();
            if Room::of_history(&history).is_some_and(|told| *told.state() == state) {
                break;
            }
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let rebuilt = one.rebuild(&hall, T0).await.unwrap();
    assert_eq!(rebuilt.through_seq, state.seq);
    assert_eq!(scene.process().await.snapshot(&hall).await.unwrap(), state);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_fill_an_emptied_redis_once() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    let first = scene.process().await;
    let relay = scene.relay(&first);
    first.configure(&hall, &policy(0), None, T0).await.unwrap();
    for _ in 0..200 {
        joined(&first, &hall, 2).await;
    }
    told(&scene, &hall, 201).await;
    let mut processes = vec![first];
    for _ in 0..7 {
        processes.push(scene.process().await);
    }
    for process in &processes {
        process.summary(&hall).await.unwrap();
    }
    scene.emptied().await;
    let mut joining = JoinSet::new();
    for process in processes {
        let hall = hall.clone();
        joining.spawn(async move {
            let mut given = Vec::new();
            for _ in 0..20 {
                given.extend(joined(&process, &hall, 2).await);
            }
            given
        });
    }
    let given = joining.join_all().await.concat();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 8 * 40);
    assert!(given.iter().all(|number| *number > 400));
    let state = scene.process().await.snapshot(&hall).await.unwrap();
    assert!((1 << 32..2 << 32).contains(&state.seq), "it was made anew more than once: {}", state.seq);
    assert_eq!(state.line.waiting(), 400 + 8 * 40);
    relay.stop.cancel();
}

async fn kept(aside: &mut MultiplexedConnection, keys: &[String]) -> Vec<Vec<u8>> {
    let mut dumps = Vec::new();
    for key in keys {
        dumps.push(redis::cmd("DUMP").arg(key).query_async(aside).await.unwrap());
    }
    dumps
}

/// As a Redis that puts its newest seconds on disk later, or a replica that was behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgot_its_newest_events_is_set_right() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    let (one, two) = (scene.process().await, scene.process().await);
    let _relay = scene.relay(&one);
    one.configure(&hall, &policy(5), None, T0).await.unwrap();
    joined(&two, &hall, 4).await;
    let mut aside = scene.aside().await;
    let keys = ["head", "events"].map(|key| format!("{}:tl:{{hall}}:v1:{key}", scene.namespace()));
    let earlier = kept(&mut aside, &keys).await;
    joined(&two, &hall, 4).await;
    let state = one.snapshot(&hall).await.unwrap();
    told(&scene, &hall, state.seq).await;
    for (key, dump) in keys.iter().zip(earlier) {
        let mut restore = redis::cmd("RESTORE");
        let _: () = restore.arg(key).arg(0).arg(dump).arg("REPLACE").query_async(&mut aside).await.unwrap();
    }
    let next = joined(&two, &hall, 1).await;
    assert!(next[0] > 8, "{next:?} was given before");
    let after = one.snapshot(&hall).await.unwrap();
    assert!(after.seq >= 1 << 32);
    assert_eq!(after.line.waiting(), 9);
    assert_eq!(scene.process().await.snapshot(&hall).await.unwrap(), after);
}

/// Once more would give everybody of the batch a second number.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_answer_and_traces_are_lost_is_not_made_again() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    let wire = Wire::to(&scene.url).await;
    let (cut, calm) = (scene.process_by(&wire.url).await, scene.process().await);
    let _relay = scene.relay(&calm);
    calm.configure(&hall, &policy(0), None, T0).await.unwrap();
    joined(&cut, &hall, 2).await;
    wire.stay_down();
    wire.lose_an_answer();
    let (name, process) = (hall.clone(), cut.clone());
    let joining = tokio::spawn(async move { process.join(&name, vec![anybody(); 3], T0).await });
    let state = within("the batch stands in Redis", async {
        loop {
            let state = calm.snapshot(&hall).await.unwrap();
            if state.issued == 5 {
                break state;
            }
        }
    })
    .await;
    told(&scene, &hall, state.seq).await;
    calm.rebuild(&hall, T0).await.unwrap();
    let after = calm.snapshot(&hall).await.unwrap();
    wire.mend();
    let answer = joining.await.unwrap();
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert_eq!(cut.snapshot(&hall).await.unwrap(), after, "the batch was given numbers twice");
    assert_eq!(wire.cuts(), 1);
}

/// As an eviction may leave it: the events are there, the checkpoint is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_lost_its_checkpoint_is_made_whole() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    scene.register(&hall).await;
    let one = scene.process().await;
    let relay = scene.relay(&one);
    one.configure(&hall, &policy(5), None, T0).await.unwrap();
    joined(&one, &hall, 4).await;
    told(&scene, &hall, 2).await;
    one.rebuild(&hall, T0).await.unwrap();
    relay.stop.cancel();
    within("the relay ends", relay.task).await.unwrap();
    joined(&one, &hall, 3).await;
    let mut aside = scene.aside().await;
    let checkpoint = format!("{}:tl:{{hall}}:v1:checkpoint", scene.namespace());
    let gone: u64 = redis::cmd("DEL").arg(checkpoint).query_async(&mut aside).await.unwrap();
    assert_eq!(gone, 1);
    let fresh = scene.process().await;
    assert_eq!(fresh.summary(&hall).await.unwrap().waiting, 7, "events that only Redis had count too");
    let _relay = scene.relay(&fresh);
    let state = one.snapshot(&hall).await.unwrap();
    within("the log has them as well", async {
        while Room::of_history(&scene.log.history(&hall).await.unwrap()).unwrap().state().seq < state.seq {
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_an_emptied_redis() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    let one = scene.process().await;
    let _relay = scene.relay(&one);
    one.configure(&hall, &policy(2), None, T0).await.unwrap();
    joined(&one, &hall, 4).await;
    let seen = one.counts(&hall).await.unwrap();
    let claim_by = T0.plus_seconds(60);
    let call = kernel::room::Call {
        per_lane: vec![2],
        called_before: 0,
        active_max: seen.counts.capacity,
        claim_by,
    };
    one.call_next(&hall, call, T0).await.unwrap();
    let state = one.snapshot(&hall).await.unwrap();
    told(&scene, &hall, state.seq).await;
    scene.emptied().await;
    let called = Session::Called { claim_by };
    let ended = Next::Ended(EndReason::NoShow);
    assert_eq!(one.swap_session(&hall, 1, called, ended, T0).await, Ok(Swapped::Done));
    assert_eq!(one.swap_session(&hall, 1, called, ended, T0).await, Ok(Swapped::Other(None)));
    assert_eq!(one.counts(&hall).await.unwrap().counts.active, 1);
}

#[tokio::test]
async fn a_room_nobody_made_is_not_made_by_asking() {
    let scene = Scene::on(&url()).await;
    let one = scene.process().await;
    assert_eq!(one.summary(&room("nowhere")).await, Err(StoreError::UnknownRoom));
    emptied_of_nothing(&scene).await;
    assert_eq!(one.summary(&room("nowhere")).await, Err(StoreError::UnknownRoom));
}

async fn emptied_of_nothing(scene: &Scene) {
    let mut aside = scene.aside().await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{}:*", scene.namespace())).query_async(&mut aside).await.unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}
