//! A crowd that polls: what each is told is never older than what anybody was answered before, and what all
//! of them cost the store does not depend on how many they are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use backend::clock::SystemClock;
use backend::embedded::{Embedded, InProcessPresence, Options};
use backend::entropy::SystemEntropy;
use edge::AdminToken;
use http_body_util::BodyExt;
use kernel::contract::policy;
use kernel::pass::PassKey;
use kernel::ports::{Clock, Rebuilt, RoomKeeper, RoomStore, StoreError};
use kernel::room::{Call, Room};
use kernel::ticket::TicketKey;
use kernel::words::{RoomId, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;
use waiting_queue::{Config, Ports, WaitingQueue};

const JOIN: (&str, &str) = ("POST", "/v1/rooms/demo/tickets");
const POLL: (&str, &str) = ("GET", "/v1/rooms/demo/tickets/me");
const LEAVE: (&str, &str) = ("DELETE", "/v1/rooms/demo/tickets/me");

/// Counts what the store is asked.
struct Counted {
    store: Embedded,
    asked: AtomicU64,
}

impl RoomKeeper for Counted {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.store.act(room, act).await
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

/// Two nodes over one store.
struct Scene {
    nodes: [Router; 2],
    store: Arc<Counted>,
    room: RoomId,
    stop: CancellationToken,
    _end: DropGuard,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backing = Embedded::open(directory.path(), Options::default()).unwrap();
        let store = Arc::new(Counted { store: backing.clone(), asked: AtomicU64::new(0) });
        let (stop, presence) = (CancellationToken::new(), Arc::new(InProcessPresence::default()));
        let room = RoomId::parse("demo").unwrap();
        let nodes = ["a", "b"].map(|node| {
            let ports = Ports {
                store: store.clone(),
                registry: Arc::new(backing.clone()),
                log: Arc::new(backing.clone()),
                dead_letters: Arc::new(backing.clone()),
                presence: presence.clone(),
                clock: Arc::new(SystemClock),
                entropy: Arc::new(SystemEntropy),
                tickets: TicketKey::new(b"secret"),
                passes: PassKey::new(b"secret").unwrap(),
                admin: AdminToken::new("token"),
            };
            let config = Config { node: node.to_owned(), joins_per_minute_per_address: None };
            WaitingQueue::new(config, ports)
        });
        nodes[0].configure_room(&room, policy(1)).await.unwrap();
        for node in &nodes {
            tokio::spawn(node.clone().run(stop.clone()));
        }
        let nodes = nodes.map(|node| node.routes().split_for_parts().0);
        Self { nodes, store, room, _end: stop.clone().drop_guard(), stop, _directory: directory }
    }

    fn asked(&self) -> u64 {
        self.store.asked.load(Ordering::SeqCst)
    }

    async fn join(&self, node: usize) -> Value {
        call(&self.nodes[node], JOIN, None).await
    }

    async fn poll(&self, node: usize, joined: &Value) -> Value {
        call(&self.nodes[node], POLL, joined["ticket"].as_str()).await
    }

    async fn leave(&self, node: usize, joined: &Value) {
        assert_eq!(call(&self.nodes[node], LEAVE, joined["ticket"].as_str()).await, Value::Null);
    }

    /// Lets the next in.
    async fn admit(&self) {
        let (seen, now) = (self.store.counts(&self.room).await.unwrap(), SystemClock.now());
        let (called_before, claim_by) = (seen.called, now.plus_seconds(60));
        let call = Call { per_lane: vec![1], called_before, active_max: seen.counts.capacity, claim_by };
        self.store.call_next(&self.room, call, now).await.unwrap();
    }
}

async fn call(node: &Router, (method, path): (&str, &str), ticket: Option<&str>) -> Value {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(ticket) = ticket {
        request = request.header("authorization", format!("Bearer {ticket}"));
    }
    let (request, body) = match (method, path) {
        JOIN => (request.header("content-type", "application/json"), Body::from("{}")),
        _ => (request, Body::empty()),
    };
    let answer = node.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
    assert!(status.is_success(), "{method} {path}: {status}, {body:?}");
    if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_node_answered_the_other_shows() {
    let scene = Scene::set().await;
    let first = scene.join(0).await;
    for round in 0..300 {
        let (here, there) = (round % 2, (round + 1) % 2);
        let joined = scene.join(here).await;
        let shown = scene.poll(there, &joined).await;
        assert_eq!((&shown["state"], &shown["position"]), (&json!("waiting"), &json!(2)), "{shown}");
        scene.leave(here, &joined).await;
        let shown = scene.poll(there, &joined).await;
        assert_eq!((&shown["state"], &shown["reason"]), (&json!("ended"), &json!("left")), "{shown}");
        assert_eq!(scene.poll(there, &first).await["waiting"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crowd_costs_the_store_does_not_depend_on_its_size() {
    let scene = Scene::set().await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(scene.join(0).await["ticket"].as_str().unwrap().to_owned());
    }
    let (before, began, mut polls) = (scene.asked(), Instant::now(), JoinSet::new());
    for round in 0..20 {
        for (at, ticket) in crowd.iter().cloned().enumerate() {
            let node = scene.nodes[round % 2].clone();
            polls.spawn(async move {
                let shown = call(&node, POLL, Some(&ticket)).await;
                assert_eq!(shown["position"], at + 1, "{shown}");
            });
        }
    }
    while let Some(polled) = polls.join_next().await {
        polled.unwrap();
    }
    let asked = scene.asked() - before;
    // A look in two milliseconds at most, a copy of the room, and one more at either end: on each of two nodes.
    let most = 2 * (began.elapsed().as_millis() as u64 / 2 + 4);
    assert!((1..=most.min(2_000)).contains(&asked), "{asked} questions for 4,000 polls, at most {most}");
}

#[tokio::test]
async fn an_admitted_visitor_claims_once() {
    let scene = Scene::set().await;
    let visitor = scene.join(0).await;
    scene.admit().await;
    let admitted = scene.poll(1, &visitor).await;
    assert_eq!(admitted["state"], "active", "{admitted}");
    let before = scene.asked();
    for _ in 0..10 {
        let again = scene.poll(1, &visitor).await;
        assert_eq!(again["expires_at"], admitted["expires_at"]);
        assert!(again["pass"].is_string(), "{again}");
    }
    assert_eq!(scene.asked() - before, 10, "each alone is a look, and no more");
    assert_eq!(scene.poll(0, &visitor).await["expires_at"], admitted["expires_at"]);
}

#[tokio::test]
async fn a_node_whose_copy_stands_still_asks_the_store() {
    let scene = Scene::set().await;
    let ahead = scene.join(0).await;
    scene.poll(0, &ahead).await;
    // From here on no event reaches the nodes.
    scene.stop.cancel();
    let joined = scene.join(0).await;
    let (mut began, mut waited) = (Instant::now(), Vec::new());
    for _ in 0..5 {
        let shown = scene.poll(0, &joined).await;
        assert_eq!((&shown["state"], &shown["position"]), (&json!("waiting"), &json!(2)), "{shown}");
        waited.push(std::mem::replace(&mut began, Instant::now()).elapsed());
    }
    assert!(waited[1..].iter().all(|waited| *waited < Duration::from_secs(1)), "each waits anew: {waited:?}");
    scene.leave(0, &ahead).await;
    assert_eq!(scene.poll(0, &ahead).await["reason"], "left");
    assert_eq!(scene.poll(0, &joined).await["position"], 1);
    scene.admit().await;
    assert_eq!(scene.poll(0, &joined).await["state"], "active");
}
