//! Events on their way from Redis to the log: in order, by one process at a time, and not lost with it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::sync::Arc;
use std::time::Duration;

use kernel::contract::story::Story;
use kernel::contract::{T0, policy};
use kernel::event::RoomEvent;
use kernel::ports::{EventLog, RoomStore};
use kernel::room::{Join, Joined, Room};
use kernel::words::{Digest, EndReason, Ranges, RoomId};
use redis_scene::gated::Gated;
use redis_scene::{Scene, anybody, joined, room, within};

/// What the log has of the room, once it is as far as the room is.
async fn told(scene: &Scene, hall: &RoomId, seq: u64) -> Vec<RoomEvent> {
    let mut story = Story::of(hall, &scene.log).await;
    within("the log has everything", story.through(seq)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_happens_is_told_in_order() {
    let scene = Scene::fresh().await;
    let (one, two) = (scene.process().await, scene.process().await);
    let relays = [scene.relay(&one), scene.relay(&two)];
    let hall = room("hall");
    one.configure(&hall, &policy(10), None, T0).await.unwrap();
    for turn in 0..200 {
        let process = if turn % 3 == 0 { &one } else { &two };
        joined(process, &hall, 2).await;
        if turn % 7 == 0 {
            process.depart(&hall, Ranges::one(turn + 1), EndReason::Left, T0).await.unwrap();
        }
    }
    let state = two.snapshot(&hall).await.unwrap();
    let events = told(&scene, &hall, state.seq).await;
    assert_eq!(*Room::of_history(&events).unwrap().state(), state);
    relays.into_iter().for_each(|relay| relay.stop.cancel());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_at_once() {
    let scene = Scene::fresh().await;
    let (one, two) = (scene.process().await, scene.process().await);
    let _relay = scene.relay(&one);
    let hall = room("hall");
    two.configure(&hall, &policy(10), None, T0).await.unwrap();
    let mut story = Story::of(&hall, &scene.log).await;
    within("the room is found", story.through(1)).await;
    let mut slowest = Duration::ZERO;
    for seq in 2..12 {
        let began = std::time::Instant::now();
        joined(&two, &hall, 1).await;
        within("the join is told", story.through(seq)).await;
        slowest = slowest.max(began.elapsed());
    }
    // A look round comes every second only: who needed none was woken.
    assert!(slowest < Duration::from_millis(800), "an event took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dies_or_stops_hands_over() {
    let scene = Scene::fresh().await;
    let (one, two, three) = (scene.process().await, scene.process().await, scene.process().await);
    let hall = room("hall");
    scene.register(&hall).await;
    one.configure(&hall, &policy(0), None, T0).await.unwrap();
    let first = scene.relay(&one);
    told(&scene, &hall, 1).await;
    let second = scene.relay(&two);
    // As if the process were gone: its leases are not given back.
    first.task.abort();
    joined(&two, &hall, 3).await;
    told(&scene, &hall, 2).await;
    second.stop.cancel();
    within("the second gives its rooms back", second.task).await.unwrap();
    let _third = scene.relay(&three);
    joined(&one, &hall, 3).await;
    told(&scene, &hall, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_lying_is_found_by_the_registry() {
    let scene = Scene::fresh().await;
    let hall = room("hall");
    scene.register(&hall).await;
    let gone = scene.process().await;
    gone.configure(&hall, &policy(0), None, T0).await.unwrap();
    joined(&gone, &hall, 3).await;
    drop(gone);
    let fresh = scene.process().await;
    let _relay = scene.relay(&fresh);
    assert_eq!(told(&scene, &hall, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_go_on_while_the_log_is_away() {
    let scene = Scene::fresh().await;
    let log = Arc::new(Gated::new(scene.log.clone()));
    let process = scene.process_with(log.clone()).await;
    let _relay = scene.relay(&process);
    let hall = room("hall");
    log.close();
    process.configure(&hall, &policy(0), None, T0).await.unwrap();
    for _ in 0..50 {
        joined(&process, &hall, 4).await;
    }
    within("it was tried", async {
        while log.refused() < 2 {
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(scene.log.history(&hall).await.unwrap().is_empty());
    log.open();
    assert_eq!(told(&scene, &hall, 51).await.len(), 51);
}

/// What is relayed and in the checkpoint goes from the stream, and who comes to the room later knows it all.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_written_down_is_loaded_as_it_was() {
    let scene = Scene::fresh().await;
    let process = scene.process().await;
    let relay = scene.relay(&process);
    let hall = room("hall");
    process.configure(&hall, &policy(7), None, T0).await.unwrap();
    let known = |who: u64| Join {
        visitor: who.is_multiple_of(2).then(|| Digest::of(&[b"visitor", &who.to_be_bytes()])),
        key: who.is_multiple_of(3).then(|| Digest::of(&[b"key", &who.to_be_bytes()])),
        ..anybody()
    };
    for turn in 0..2_200 {
        process.join(&hall, vec![known(turn)], T0).await.unwrap();
        if turn % 5 == 0 {
            process.depart(&hall, Ranges::one(turn / 2 + 1), EndReason::NoShow, T0).await.unwrap();
        }
    }
    let mut aside = scene.aside().await;
    let stream = format!("{}:tl:{{hall}}:v1:events", scene.namespace());
    within("the stream is trimmed", async {
        loop {
            let kept: u64 = redis::cmd("XLEN").arg(&stream).query_async(&mut aside).await.unwrap();
            if kept < 2_000 {
                break;
            }
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    relay.stop.cancel();
    let fresh = scene.process().await;
    assert_eq!(fresh.snapshot(&hall).await.unwrap(), process.snapshot(&hall).await.unwrap());
    for number in 1..=2_200 {
        assert_eq!(fresh.seen(&hall, number).await.unwrap(), process.seen(&hall, number).await.unwrap());
    }
    // By visitor and by key: asked of the one, then of the other.
    for who in (0..2_200).filter(|who| who % 2 == 0 || who % 3 == 0).step_by(11) {
        let before = process.snapshot(&hall).await.unwrap().issued;
        let [ours, theirs] = [&fresh, &process].map(|by| by.join(&hall, vec![known(who)], T0));
        let held = ours.await.unwrap()[0].joined;
        let (Joined::New(number) | Joined::Held(number)) = held else { panic!("{who}: {held:?}") };
        assert_eq!(theirs.await.unwrap()[0].joined, Joined::Held(number), "{who}");
        let left = number > 2_200;
        assert_eq!(held, if left { Joined::New(before + 1) } else { Joined::Held(who + 1) }, "{who}");
    }
}
