//! Before the opening: numbers but no positions; at the opening: first come first served, or a draw.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use turnline_tests::room::unix_now;
use turnline_tests::{SOON, Server, Visitor, eventually};

#[tokio::test]
async fn first_come_first_served_at_the_opening() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "opens_at": soon(3) })).await;
    let joined = server.joining("r").json(&json!({})).send().await.expect(201);
    assert_eq!(joined.json["state"], "prequeue", "{}", joined.text);
    assert!(joined.json.get("position").is_none_or(Value::is_null), "no position yet: {}", joined.text);
    let first = server.visitor("r", &joined);
    let second = server.join("r").await;
    let room = server.get("/v1/rooms/r").send().await.expect(200);
    assert!(room.json["opens_at"].is_string(), "{}", room.text);
    let (mut of_first, mut of_second) = (server.open(&first).await, server.open(&second).await);
    let told = of_first.until("prequeue").await;
    assert!(told["opens_at"].is_string() && told["waiting"] == 2, "{told}");
    of_first.until("admitted").await;
    of_second.until_that("position 1", |message| message["position"] == 1).await;
    assert_eq!(server.join("r").await.number, 3);
}

#[tokio::test]
async fn a_draw_gives_every_place_once_and_latecomers_queue_behind() {
    const VISITORS: usize = 24;
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "opens_at": soon(4), "prequeue": "lottery" })).await;
    let mut visitors = Vec::new();
    for _ in 0..VISITORS {
        visitors.push(server.join("r").await);
    }
    eventually("the room is open and one is inside", SOON, async || {
        (server.get("/v1/rooms/r").send().await.expect(200).json["active"] == 1).then_some(())
    })
    .await;
    let places = places(&server, &visitors).await;
    let distinct: BTreeSet<i64> = places.iter().copied().collect();
    let all: BTreeSet<i64> = (0..24).collect();
    assert_eq!(distinct, all, "one inside, the others at 1 to 23: {places:?}");
    let arrival: Vec<i64> = (0..24).collect();
    assert_ne!(places, arrival, "drawn, not first come (by chance equal once in 24! draws)");
    let late = server.join("r").await;
    assert_eq!(server.status(&late).await.number_of("position"), 24);
    // Whoever was drawn first leaves: the one drawn second is next.
    let inside = places.iter().position(|place| *place == 0).expect("one is inside");
    let second = places.iter().position(|place| *place == 1).expect("one is next");
    server.leave(&visitors[inside]).await.expect(204);
    server.until_state(&visitors[second], "active").await;
}

/// The position of each; 0 for the one inside.
async fn places(server: &Server, visitors: &[Visitor]) -> Vec<i64> {
    let mut places = Vec::new();
    for visitor in visitors {
        let status = server.status(visitor).await;
        places.push(if status.json["state"] == "active" { 0 } else { status.number_of("position") });
    }
    places
}

/// A time some seconds ahead, as the contract writes times.
fn soon(seconds: i64) -> String {
    let now = OffsetDateTime::from_unix_timestamp(unix_now()).expect("now");
    (now + Duration::seconds(seconds)).format(&Rfc3339).expect("a time")
}
