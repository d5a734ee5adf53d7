//! What a waiting visitor costs Redis, at a million of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::time::Duration;

use kernel::contract::{T0, policy};
use kernel::ports::RoomStore;
use kernel::room::Join;
use kernel::words::Digest;
use redis_scene::{Scene, anybody, room, within};

const VISITORS: u64 = 1_000_000;
const BATCH: u64 = 1_000;

/// Bytes of all keys of a room with a million waiting, each of whom is known by what `known` says, once
/// everything is relayed and written down; by key.
async fn bytes(known: impl Fn(u64) -> Join) -> (u64, String) {
    let scene = Scene::fresh().await;
    let process = scene.process().await;
    let relay = scene.relay(&process);
    let hall = room("hall");
    process.configure(&hall, &policy(10), None, T0).await.unwrap();
    for batch in 0..VISITORS / BATCH {
        let joins = (batch * BATCH..(batch + 1) * BATCH).map(&known).collect();
        process.join(&hall, joins, T0).await.unwrap();
    }
    let mut aside = scene.aside().await;
    let head = format!("{}:tl:{{hall}}:v1:head", scene.namespace());
    let relayed = within("everything is relayed", async {
        loop {
            let mut get = redis::cmd("HMGET");
            let (seq, relayed): (u64, u64) =
                get.arg(&head).arg("seq").arg("relayed").query_async(&mut aside).await.unwrap();
            if seq == relayed {
                break seq;
            }
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let seq = relayed.await;
    assert_eq!(process.rebuild(&hall, T0).await.unwrap().through_seq, seq);
    let fresh = scene.process().await;
    assert_eq!(fresh.summary(&hall).await.unwrap().waiting, VISITORS);

    let pattern = format!("{}:tl:{{hall}}:*", scene.namespace());
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut aside).await.unwrap();
    let (mut sum, mut by_key) = (0, Vec::new());
    for key in keys {
        let mut usage = redis::cmd("MEMORY");
        let usage: u64 =
            usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(0).query_async(&mut aside).await.unwrap();
        sum += usage;
        by_key.push(format!("{} {usage}", key.rsplit("v1:").next().unwrap()));
    }
    relay.stop.cancel();
    within("the relay ends", relay.task).await.unwrap();
    (sum, by_key.join(", "))
}

fn report(who: &str, (bytes, by_key): (u64, String)) -> f64 {
    let each = bytes as f64 / VISITORS as f64;
    println!("{who}: {each:.3} bytes a visitor ({by_key})");
    each
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_visitor_costs_less_than_a_byte() {
    assert!(report("anonymous", bytes(|_| anybody()).await) <= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_visitor_costs_a_digest_and_a_number() {
    let visitor = |who: u64| Join { visitor: Some(Digest::of(&[&who.to_be_bytes()])), ..anybody() };
    assert!(report("with a visitor token", bytes(visitor).await) <= 27.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_costs_its_time_as_well_while_it_lives() {
    let key = |who: u64| Join { key: Some(Digest::of(&[&who.to_be_bytes()])), ..anybody() };
    assert!(report("with an idempotency key", bytes(key).await) <= 35.0);
}
