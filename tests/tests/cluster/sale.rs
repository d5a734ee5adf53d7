//! Two rooms without faults, one where everybody buys and one where many go away: each replica does its
//! share, together they do everything once.

use serde_json::json;
use turnline_tests::cluster::REPLICAS;
use turnline_tests::{Cluster, Crowd, Demo, Role};

use crate::story::Story;

const VISITORS: u64 = 1_000;
const CAPACITY: u64 = 50;
/// In the other room.
const PASSERS_BY: u64 = 200;
const PLACES: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_buys_from_ten_processes_and_no_rule_is_broken() {
    let cluster = Cluster::start().await;
    cluster.room("sale", &json!({ "capacity": CAPACITY })).await;
    cluster.concert("sale", VISITORS).await;
    let demo = Demo::of(&cluster).await;
    let mut crowd = Crowd::send(&cluster, "sale", VISITORS, &["--buy", "--arrivals", "flash"]);
    let short = json!({ "capacity": PLACES, "grace_seconds": 15, "claim_seconds": 15 });
    cluster.room("walk", &short).await;
    let coming_and_going = ["--arrivals", "ramp:10", "--leave-fraction", "0.2", "--abandon-fraction", "0.2"];
    let mut passers_by = Crowd::send(&cluster, "walk", PASSERS_BY, &coming_and_going);
    let mut sockets = Vec::new();
    crowd
        .until("both replicas of client-channel hold a good part of the sockets", async || {
            sockets = sockets_of(&cluster).await;
            sockets.iter().all(|open| *open >= VISITORS as f64 / 10.0)
        })
        .await;
    let verdict = crowd.ends_well().await;
    println!("sockets of the replicas of client-channel: {sockets:?}\n{}", verdict.said);
    assert!(sockets.iter().sum::<f64>() <= VISITORS as f64, "a socket was counted twice: {sockets:?}");

    assert_eq!(demo.sold(&cluster).await, VISITORS);
    let room = cluster.get("/v1/rooms/sale").send().await.expect(200);
    assert_eq!((room.number_of("active"), room.number_of("waiting")), (0, 0), "{}", room.text);

    let everybody_ended = |story: &Story| story.releases().count() as u64 >= VISITORS;
    let everybody_paid = |story: &Story| story.paid().len() as u64 >= VISITORS;
    let story =
        Story::read(cluster.addresses(), "sale", |story| everybody_ended(story) && everybody_paid(story))
            .await;
    println!("Kafka: {}", story.summary());
    story.is_gapless();
    story.is_in_order();
    story.no_number_twice();
    story.nobody_ended_twice();
    story.every_payment_freed_its_slot();
    story.never_more_inside_than(CAPACITY as usize);
    story.progress_comes_once_a_tick();

    println!("{}", passers_by.ends_well().await.said);
    let everybody_went = |story: &Story| story.gone() >= PASSERS_BY;
    let story = Story::read(cluster.addresses(), "walk", everybody_went).await;
    println!("Kafka: {}", story.summary());
    story.is_gapless();
    story.is_in_order();
    story.nobody_ended_twice();
    story.never_more_inside_than(PLACES as usize);
}

/// Open sockets of each replica, as its figures tell.
async fn sockets_of(cluster: &Cluster) -> Vec<f64> {
    let mut sockets = Vec::new();
    for index in 0..REPLICAS {
        let page = cluster.at(Role::ClientChannel, index).get("/metrics").send().await.expect(200).text;
        let line = page.lines().find_map(|line| line.strip_prefix("turnline_channel_sockets "));
        sockets.push(line.and_then(|figure| figure.trim().parse().ok()).unwrap_or_default());
    }
    sockets
}
