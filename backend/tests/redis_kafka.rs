//! Rooms on Redis whose events go to Apache Kafka, and come back from there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "not every test needs all of it")]
#[path = "kafka/scene.rs"]
mod kafka_scene;
mod postgres_scene;
mod redis_scene;

use std::sync::Arc;
use std::time::Duration;

use kernel::contract::{T0, policy};
use kernel::ports::{EventLog, RoomStore};
use kernel::room::Room;
use kernel::words::{EndReason, Ranges};
use redis_scene::{Scene, joined, room, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_room_comes_back_from_kafka() {
    let scene = Scene::fresh().await;
    let kafka = kafka_scene::Scene::fresh();
    let log = Arc::new(kafka.connect().await);
    let process = scene.process_with(log.clone()).await;
    let relay = scene.relay(&process);
    let hall = room("hall");
    process.configure(&hall, &policy(5), None, T0).await.unwrap();
    for turn in 1..=100 {
        joined(&process, &hall, 3).await;
        if turn % 4 == 0 {
            process.depart(&hall, Ranges::one(turn), EndReason::Left, T0).await.unwrap();
        }
    }
    let state = process.snapshot(&hall).await.unwrap();
    let told = async |seq: u64| {
        within("Kafka has everything", async {
            loop {
                let history = log.history(&hall).await.unwrap();
                if history.last().is_some_and(|event| event.seq >= seq) {
                    break history;
                }
                // sleep: the interval of a poll under a deadline
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    };
    let history = told(state.seq).await;
    assert_eq!(*Room::of_history(&history).unwrap().state(), state);

    scene.emptied().await;
    let next = joined(&process, &hall, 1).await;
    assert!(next[0] > 10_000, "{next:?} may have been given before");
    let after = process.snapshot(&hall).await.unwrap();
    assert_eq!(after.line.waiting(), state.line.waiting() + 1);
    let history = told(after.seq).await;
    assert_eq!(*Room::of_history(&history).unwrap().state(), after);
    relay.stop.cancel();
    within("the relay ends", relay.task).await.unwrap();
}
