//! Presence and leases by Redis, and what it says of itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::time::Duration;

use backend::cluster::redis::ConnectError;
use backend::cluster::redis::RedisRooms;
use kernel::contract::T0;
use kernel::ports::{Leases, Presence};
use kernel::words::RoomId;
use redis_scene::{Scene, room, within};
use roaring::RoaringTreemap;
use std::sync::Arc;
use tokio::task::JoinSet;

async fn present(process: &RedisRooms, hall: &RoomId) -> Vec<u64> {
    process.present(hall, T0).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn everyone_is_there_whom_a_living_node_has_seen() {
    let scene = Scene::fresh().await;
    let (one, two) = (scene.process().await, scene.process().await);
    let hall = room("hall");
    assert_eq!(present(&one, &hall).await, [] as [u64; 0]);
    one.report("a", &hall, [1, 2, 3].into_iter().collect(), 60, T0).await.unwrap();
    two.report("b", &hall, [3, u64::from(u32::MAX) + 9].into_iter().collect(), 1, T0).await.unwrap();
    assert_eq!(present(&one, &hall).await, [1, 2, 3, u64::from(u32::MAX) + 9]);
    assert_eq!(present(&one, &room("tent")).await, [] as [u64; 0]);
    within("the second node's word runs out", async {
        while present(&two, &hall).await != [1, 2, 3] {
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    one.report("a", &hall, [2].into_iter().collect(), 60, T0).await.unwrap();
    assert_eq!(present(&two, &hall).await, [2], "a report replaces the one before");
}

#[tokio::test]
async fn a_million_who_are_there_are_small() {
    let scene = Scene::fresh().await;
    let (process, hall) = (scene.process().await, room("hall"));
    let everyone: RoaringTreemap = (1..=1_000_000).collect();
    process.report("a", &hall, everyone.clone(), 60, T0).await.unwrap();
    assert_eq!(process.present(&hall, T0).await.unwrap(), everyone);
    let key = format!("{}:tl:{{hall}}:v1:present:a", scene.namespace());
    let bytes: u64 = redis::cmd("STRLEN").arg(key).query_async(&mut scene.aside().await).await.unwrap();
    assert!(bytes < 1_000, "{bytes} bytes");
}

#[tokio::test]
async fn one_holds_a_lease_until_it_is_given_back_or_runs_out() {
    let scene = Scene::fresh().await;
    let (one, two) = (scene.process().await, scene.process().await);
    assert!(one.hold("sweep", "one", 60).await.unwrap());
    assert!(one.hold("sweep", "one", 60).await.unwrap());
    assert!(!two.hold("sweep", "two", 60).await.unwrap());
    assert!(two.hold("another", "two", 60).await.unwrap());
    two.release("sweep", "two").await.unwrap();
    assert!(!two.hold("sweep", "two", 60).await.unwrap(), "nobody gives back what is another's");
    one.release("sweep", "one").await.unwrap();
    assert!(two.hold("sweep", "two", 1).await.unwrap());
    within("the lease runs out", async {
        while !one.hold("sweep", "one", 60).await.unwrap() {
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_ask_at_once_one_gets_it() {
    let scene = Scene::fresh().await;
    let process = scene.process().await;
    let mut asking = JoinSet::new();
    for holder in 0..50 {
        let process = process.clone();
        asking.spawn(async move { process.hold("work", &holder.to_string(), 60).await.unwrap() });
    }
    assert_eq!(asking.join_all().await.into_iter().filter(|held| *held).count(), 1);
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let scene = Scene::fresh().await;
    let process = scene.process().await;
    assert!(process.hold("work", "one", 60).await.unwrap());
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut scene.aside().await).await.unwrap();
    assert!(!process.hold("work", "two", 60).await.unwrap());
}

#[tokio::test]
async fn what_is_no_redis_is_refused_in_plain_words() {
    let scene = Scene::fresh().await;
    let connect = async |url: &str| {
        let (log, ceilings) = (Arc::new(scene.log.clone()), Arc::new(scene.database.clone()));
        RedisRooms::connect(url, scene.namespace(), log, ceilings, scene.clock.clone()).await.err().unwrap()
    };
    let refused = connect("127.0.0.1:6379").await;
    assert!(matches!(refused, ConnectError::BadUrl(_)), "{refused}");
    // A port that nobody listens on: bound and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = connect(&format!("redis://:a-secret@127.0.0.1:{port}")).await;
    assert!(matches!(refused, ConnectError::Unreachable(_)), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("a-secret"));
}
