//! Joining, joining again, leaving: one place a visitor, and nobody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use turnline_tests::{Server, fresh_key};

#[tokio::test]
async fn numbers_follow_the_order_of_arrival_and_positions_follow_the_numbers() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (_, _) = server.admitted("r").await;
    for expected in 2..=5 {
        let joined = server.joining("r").json(&json!({})).send().await.expect(201);
        assert_eq!(joined.number_of("number"), expected);
        assert_eq!(joined.json["state"], "waiting", "{}", joined.text);
        assert_eq!(joined.number_of("position"), expected - 1, "{}", joined.text);
        assert_eq!(joined.number_of("ahead"), expected - 2, "{}", joined.text);
        let ticket = joined.text_of("ticket");
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        assert!(
            ticket.len() <= 256 && ticket.chars().all(allowed),
            "a ticket travels as a subprotocol: {ticket}"
        );
    }
    let room = server.get("/v1/rooms/r").send().await.expect(200);
    assert_eq!((room.number_of("waiting"), room.number_of("active"), room.number_of("capacity")), (4, 1, 1));
}

#[tokio::test]
async fn joining_again_gives_the_ticket_already_held() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    let key = fresh_key();
    let first = server.joining("r").key(&key).json(&json!({})).send().await.expect(201);
    let (ticket, number) = (first.text_of("ticket"), first.number_of("number"));
    let again = [
        ("the same ticket", server.joining("r").bearer(&ticket)),
        ("the same key", server.joining("r").key(&key)),
        ("both", server.joining("r").bearer(&ticket).key(&key)),
    ];
    for (what, call) in again {
        let answer = call.json(&json!({})).send().await.expect(200);
        assert_eq!(
            (answer.text_of("ticket"), answer.number_of("number")),
            (ticket.clone(), number),
            "{what}"
        );
    }
    let other = server.join("r").await;
    assert_ne!(other.number, number);
    let conflict = server.joining("r").bearer(&other.ticket).key(&key).json(&json!({})).send().await;
    conflict.expect_problem(409, "identity_conflict");
}

#[tokio::test]
async fn a_hundred_hurried_joins_under_one_key_are_one_place() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let key = fresh_key();
    let calls = (0..100).map(|_| server.joining("r").key(&key).json(&json!({})).send());
    let answers = futures_util::future::join_all(calls).await;
    let tickets: BTreeSet<String> = answers.iter().map(|answer| answer.text_of("ticket")).collect();
    assert_eq!(tickets.len(), 1, "one key, one ticket");
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "one of them was first");
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 99);
    assert_eq!(server.join("r").await.number, 2, "no number was lost");
}

#[tokio::test]
async fn leaving_is_idempotent_and_coming_back_is_a_new_place_at_the_back() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    let (leaver, stayer) = (server.join("r").await, server.join("r").await);
    server.leave(&leaver).await.expect(204);
    server.leave(&leaver).await.expect(204);
    let status = server.status(&leaver).await;
    assert_eq!(
        (&status.json["state"], &status.json["reason"]),
        (&json!("ended"), &json!("left")),
        "{}",
        status.text
    );
    let mut channel = server.open(&stayer).await;
    channel.until_that("position 1", |message| message["position"] == 1).await;
    let back = server.joining("r").bearer(&leaver.ticket).json(&json!({})).send().await.expect(201);
    assert!(back.number_of("number") > stayer.number, "{}", back.text);
    assert_ne!(back.text_of("ticket"), leaver.ticket);
}

#[tokio::test]
async fn a_slot_whose_time_is_over_is_no_place_to_come_back_to() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "active_seconds": 1, "max_session_seconds": 1 })).await;
    let (insider, _) = server.admitted("r").await;
    let expires_at = server.status(&insider).await.text_of("expires_at");
    // From that very moment on, whether or not the slot was swept up already.
    until_after(&expires_at).await;
    let back = server.joining("r").bearer(&insider.ticket).json(&json!({})).send().await.expect(201);
    assert_eq!(back.number_of("number"), 2);
    assert_eq!(server.status(&insider).await.json["reason"], "expired");
}

#[tokio::test]
async fn leaving_over_the_channel_ends_the_place() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    let leaver = server.join("r").await;
    let mut channel = server.open(&leaver).await;
    channel.until("position").await;
    channel.send(&json!({ "type": "leave" })).await;
    assert_eq!(channel.until("ended").await["reason"], "left");
    assert_eq!(server.until_state(&leaver, "ended").await.json["reason"], "left");
}

#[tokio::test]
async fn a_full_line_says_when_to_come_back() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "max_waiting": 2 })).await;
    let _insider = server.admitted("r").await;
    let first = server.join("r").await;
    server.join("r").await;
    let refused = server.joining("r").json(&json!({})).send().await.expect_problem(503, "queue_full");
    let seconds: u64 = refused.header("retry-after").parse().expect("Retry-After in seconds");
    assert!(seconds >= 1);
    // Whoever has a place is not refused by a full line.
    server.joining("r").bearer(&first.ticket).json(&json!({})).send().await.expect(200);
    server.leave(&first).await.expect(204);
    server.join("r").await;
}

/// Waits until a time that the server named has passed.
#[allow(clippy::disallowed_methods, reason = "outside the system, the clock is the clock")]
async fn until_after(time: &str) {
    let left = OffsetDateTime::parse(time, &Rfc3339).expect("RFC 3339") - OffsetDateTime::now_utc();
    // sleep: until a moment the server itself named.
    tokio::time::sleep(left.max(time::Duration::ZERO).unsigned_abs() + Duration::from_millis(1)).await;
}
