//! Polls through whichever of two nodes: each answers from its own copy of the room, and none ever shows less
//! than another has answered before.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;
use turnline_tests::cluster::REPLICAS;
use turnline_tests::{Cluster, Role, Site, Visitor};

const ROUNDS: usize = 120;
const WAITING: usize = 120;
const POLLERS: usize = 8;

fn nodes(cluster: &Cluster) -> Vec<Site> {
    (0..REPLICAS).map(|index| cluster.at(Role::WaitingQueue, index).clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_at_any_node_show_what_any_node_answered() {
    let cluster = Cluster::start().await;
    let nodes = nodes(&cluster);
    what_one_node_answered_every_node_shows(&nodes).await;
    a_position_never_grows_from_node_to_node_while_the_line_moves(&nodes).await;
}

async fn what_one_node_answered_every_node_shows(nodes: &[Site]) {
    nodes[0].room("r", &json!({})).await;
    let (insider, _) = nodes[0].admitted("r").await;
    for round in 0..ROUNDS {
        let (here, there) = (&nodes[round % REPLICAS], &nodes[(round + 1) % REPLICAS]);
        let visitor = here.join("r").await;
        let shown = there.status(&visitor).await;
        assert_eq!((&shown.json["state"], &shown.json["position"]), (&json!("waiting"), &json!(1)));
        let reason = match round % 10 {
            0 => {
                let revoke = format!("/rooms/r/tickets/{}/revoke", visitor.number);
                here.admin("POST", &revoke).send().await.expect(204);
                "revoked"
            }
            _ => {
                here.leave(&visitor).await.expect(204);
                "left"
            }
        };
        let shown = there.status(&visitor).await;
        assert_eq!((&shown.json["state"], &shown.json["reason"]), (&json!("ended"), &json!(reason)));
        if round % 10 == 5 {
            let renewed =
                here.post("/v1/rooms/r/tickets/me/renew").bearer(&insider.ticket).send().await.expect(200);
            assert_eq!(there.status(&insider).await.json["expires_at"], renewed.json["expires_at"]);
        }
    }
}

async fn a_position_never_grows_from_node_to_node_while_the_line_moves(nodes: &[Site]) {
    nodes[0].room("line", &json!({ "admit_per_minute": 600, "capacity": 1_000 })).await;
    nodes[0].tell("line", "pause").await;
    let mut line: Vec<Visitor> = Vec::new();
    for _ in 0..WAITING {
        line.push(nodes[0].join("line").await);
    }
    let (over, mut pollers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for visitor in line.split_off(WAITING - POLLERS) {
        let (nodes, over) = (nodes.to_vec(), over.clone());
        pollers.spawn(async move { polls_until(&nodes, &visitor, &over).await });
    }
    nodes[0].tell("line", "resume").await;
    for leaver in line.iter().rev().take(WAITING - POLLERS - 20) {
        nodes[leaver.number as usize % REPLICAS].leave(leaver).await.expect(204);
    }
    over.store(true, Ordering::SeqCst);
    while let Some(told) = pollers.join_next().await {
        let (polls, falls) = told.expect("a position grew");
        assert!(falls >= 3, "the line hardly moved: {polls} polls, {falls} falls");
    }
}

/// Polls in turns at every node, and sees the place only fall; how often it was asked, and fell.
async fn polls_until(nodes: &[Site], visitor: &Visitor, over: &AtomicBool) -> (u64, u64) {
    let (mut last, mut polls, mut falls) = (i64::MAX, 0, 0);
    while !over.load(Ordering::SeqCst) {
        let shown = nodes[polls as usize % nodes.len()].status(visitor).await;
        polls += 1;
        if shown.json["state"] != "waiting" {
            break;
        }
        let position = shown.number_of("position");
        assert!(position <= last, "{} was at {last} and is now at {position}", visitor.number);
        falls += u64::from(position < last);
        last = position;
    }
    (polls, falls)
}
