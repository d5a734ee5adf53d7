//! Admission: one out, one in; by capacity and by rate; and every way a slot comes back.

use serde_json::json;
use turnline_tests::{SOON, Server, eventually};

#[tokio::test]
async fn one_out_one_in() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "go_to": "/shop" })).await;
    let (first, second, third) = (server.join("r").await, server.join("r").await, server.join("r").await);
    let mut of_first = server.open(&first).await;
    let admitted = of_first.until("admitted").await;
    assert_eq!(admitted["go_to"], "/shop");
    assert!(admitted["pass"].is_string() && admitted["expires_at"].is_string(), "{admitted}");
    let (mut of_second, mut of_third) = (server.open(&second).await, server.open(&third).await);
    let place = of_second.until("position").await;
    assert_eq!(
        (&place["position"], &place["ahead"], &place["waiting"]),
        (&json!(1), &json!(0), &json!(2)),
        "{place}"
    );
    assert_eq!(of_third.until("position").await["position"], 2);
    server.leave(&first).await.expect(204);
    assert_eq!(of_first.until("ended").await["reason"], "left");
    of_second.until("admitted").await;
    of_third.until_that("position 1", |message| message["position"] == 1).await;
    let room = server.get("/v1/rooms/r").send().await.expect(200);
    assert_eq!((room.number_of("active"), room.number_of("waiting")), (1, 1), "{}", room.text);
}

#[tokio::test]
async fn who_does_not_come_when_called_is_a_no_show() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "claim_seconds": 1, "grace_seconds": 1 })).await;
    let absent = server.join("r").await;
    let present = server.join("r").await;
    let mut channel = server.open(&present).await;
    channel.until("admitted").await;
    let status = server.status(&absent).await;
    assert_eq!(
        (&status.json["state"], &status.json["reason"]),
        (&json!("ended"), &json!("no_show")),
        "{}",
        status.text
    );
}

#[tokio::test]
async fn a_time_that_runs_out_is_told_and_frees_the_slot() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "active_seconds": 6, "max_session_seconds": 6 })).await;
    let (first, second) = (server.join("r").await, server.join("r").await);
    let (mut of_first, mut of_second) = (server.open(&first).await, server.open(&second).await);
    of_first.until("admitted").await;
    assert!(of_first.until("expiring").await["seconds"].is_u64());
    assert_eq!(of_first.until("ended").await["reason"], "expired");
    of_second.until("admitted").await;
    assert_eq!(server.status(&first).await.json["reason"], "expired");
}

#[tokio::test]
async fn renewing_goes_on_until_the_session_is_over() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "active_seconds": 2, "max_session_seconds": 5 })).await;
    let (visitor, pass) = server.admitted("r").await;
    let first_end = end_of(&pass);
    let mut last_end = first_end;
    let refused = eventually("a renewal is refused", SOON, async || {
        let answer = server.post("/v1/rooms/r/tickets/me/renew").bearer(&visitor.ticket).send().await;
        if answer.status != 200 {
            return Some(answer);
        }
        let end = end_of(&answer.text_of("pass"));
        assert!(end >= last_end, "a renewal shortened the pass from {last_end} to {end}");
        last_end = end;
        None
    })
    .await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(last_end > first_end, "renewing gained nothing");
    // The claim was 2 seconds before the first end; the session is 5 seconds from there; clocks are whole seconds.
    assert!(last_end <= first_end + 4, "the session went on from {first_end} to {last_end}");
    assert_eq!(server.until_state(&visitor, "ended").await.json["reason"], "expired");
}

#[tokio::test]
async fn renewing_over_the_channel_brings_a_new_pass() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let visitor = server.join("r").await;
    let mut channel = server.open(&visitor).await;
    let first = channel.until("admitted").await;
    let first_end = end_of(first["pass"].as_str().expect("a pass"));
    // A pass counts in whole seconds, so a renewal within the same second may not be later.
    let renewals = async {
        loop {
            channel.send(&json!({ "type": "renew" })).await;
            let renewed = channel.until("admitted").await;
            let end = end_of(renewed["pass"].as_str().expect("a pass"));
            assert!(end >= first_end, "a renewal shortened the pass");
            if end > first_end {
                return renewed;
            }
        }
    };
    let renewed = tokio::time::timeout(SOON, renewals).await.expect("a later pass");
    assert!(renewed["expires_at"].as_str() > first["expires_at"].as_str(), "{first} {renewed}");
}

#[tokio::test]
async fn a_lower_capacity_throws_nobody_out_and_lets_nobody_in() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "capacity": 2 })).await;
    let (first, _) = server.admitted("r").await;
    let (second, _) = server.admitted("r").await;
    let third = server.join("r").await;
    let mut of_third = server.open(&third).await;
    of_third.until("position").await;
    server.room("r", &json!({ "capacity": 1 })).await;
    assert_eq!(server.status(&first).await.json["state"], "active");
    assert_eq!(server.status(&second).await.json["state"], "active");
    server.leave(&first).await.expect(204);
    eventually("one is inside", SOON, async || {
        let room = server.get("/v1/rooms/r").send().await.expect(200);
        (room.json["active"] == 1).then_some(())
    })
    .await;
    // Somebody else's place being told shows that the room went on ticking.
    let fourth = server.join("r").await;
    assert_eq!(server.open(&fourth).await.until("position").await["position"], 2);
    assert_eq!(server.status(&third).await.json["state"], "waiting");
    server.leave(&second).await.expect(204);
    of_third.until("admitted").await;
    server.room("r", &json!({ "capacity": 2 })).await;
    server.until_state(&fourth, "active").await;
}

#[tokio::test]
async fn a_rate_lets_in_so_many_a_minute_whatever_the_capacity() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "capacity": 100, "admit_per_minute": 2 })).await;
    let mut visitors = Vec::new();
    for _ in 0..5 {
        visitors.push(server.join("r").await);
    }
    let mut of_last = server.open(&visitors[4]).await;
    server.until_state(&visitors[0], "active").await;
    of_last.until("position").await;
    let room = server.get("/v1/rooms/r").send().await.expect(200);
    assert!((1..=2).contains(&room.number_of("active")), "{}", room.text);
    assert_eq!(server.status(&visitors[4]).await.json["state"], "waiting");
}

/// `exp` of a pass, read without its key: verifying is another test's matter.
fn end_of(pass: &str) -> i64 {
    jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(pass).expect("a JWT").claims["exp"]
        .as_i64()
        .expect("exp in seconds")
}
