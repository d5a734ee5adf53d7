//! What an operator does to a room, and how its visitors hear of it.

use serde_json::json;
use turnline_tests::{Frame, SOON, Server, eventually};

#[tokio::test]
async fn a_pause_stops_admission_only() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (insider, pass) = server.admitted("r").await;
    let waiter = server.join("r").await;
    let mut channel = server.open(&waiter).await;
    channel.until("position").await;
    server.tell("r", "pause").await;
    server.tell("r", "pause").await;
    channel.until_that("room paused", |m| m["type"] == "room" && m["state"] == "paused").await;
    assert_eq!(server.get("/v1/rooms/r").send().await.expect(200).json["state"], "paused");
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(204);
    let late = server.join("r").await;
    server.leave(&insider).await.expect(204);
    eventually("the slot is free", SOON, async || {
        (server.get("/v1/rooms/r").send().await.expect(200).json["active"] == 0).then_some(())
    })
    .await;
    // Another place being told shows that the room went on ticking, and called nobody.
    assert_eq!(server.open(&late).await.until("position").await["position"], 2);
    assert_eq!(server.status(&waiter).await.json["state"], "waiting");
    server.tell("r", "resume").await;
    channel.until("admitted").await;
}

#[tokio::test]
async fn closing_ends_the_line_and_opening_goes_on_with_the_numbers() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (insider, pass) = server.admitted("r").await;
    let waiter = server.join("r").await;
    let mut channel = server.open(&waiter).await;
    channel.until("position").await;
    server.tell("r", "close").await;
    assert_eq!(channel.until("ended").await["reason"], "room_closed");
    assert_eq!(server.status(&waiter).await.json["reason"], "room_closed");
    server.joining("r").json(&json!({})).send().await.expect_problem(409, "room_closed");
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(204);
    assert_eq!(server.status(&insider).await.json["state"], "active");
    server.tell("r", "open").await;
    server.tell("r", "open").await;
    let back = server.joining("r").bearer(&waiter.ticket).json(&json!({})).send().await.expect(201);
    assert_eq!(back.number_of("number"), 3, "a number is never used twice: {}", back.text);
}

#[tokio::test]
async fn a_notice_reaches_the_page_and_the_channel() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    let waiter = server.join("r").await;
    let mut channel = server.open(&waiter).await;
    channel.until("position").await;
    let text = "The till is slow today. Sorry! \u{1f3ab}";
    let answer = server.admin("POST", "/rooms/r/notice").json(&json!({ "text": text })).send().await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    channel.until_that("the notice", |m| m["type"] == "room" && m["notice"] == text).await;
    assert_eq!(server.get("/v1/rooms/r").send().await.expect(200).json["notice"], text);
}

#[tokio::test]
async fn a_revoked_visitor_is_out_and_stays_out() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (insider, pass) = server.admitted("r").await;
    let (waiter, next) = (server.join("r").await, server.join("r").await);
    let (mut of_waiter, mut of_next) = (server.open(&waiter).await, server.open(&next).await);
    of_waiter.until("position").await;
    revoke(&server, waiter.number).await;
    assert_eq!(of_waiter.until("ended").await["reason"], "revoked");
    of_next.until_that("position 1", |message| message["position"] == 1).await;
    let again = server.joining("r").bearer(&waiter.ticket).json(&json!({})).send().await;
    assert!(again.problem_fault(403, &[]).is_ok(), "{}", again.text);
    revoke(&server, insider.number).await;
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(401);
    assert_eq!(server.status(&insider).await.json["reason"], "revoked");
    of_next.until("admitted").await;
    revoke(&server, insider.number).await;
}

#[tokio::test]
async fn the_operators_figures_are_there_and_live() {
    let mut server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    server.join("r").await;
    let stats = server.admin("GET", "/rooms/r/stats").send().await.expect(200);
    assert_eq!((stats.number_of("waiting"), stats.number_of("active")), (1, 1), "{}", stats.text);
    let rooms = server.admin("GET", "/rooms").send().await.expect(200).items();
    assert!(rooms.iter().any(|room| room["room"] == "r"), "{rooms:?}");
    let bearer = format!("Bearer {}", server.admin_token());
    let live = server.try_socket("/v1/admin/rooms/r/channel", &[], &[("authorization", &bearer)]).await;
    let mut live = live.unwrap_or_else(|status| panic!("the operator's channel was refused with {status}"));
    assert!(matches!(live.next().await, Frame::Message(_)));
    server.join("r").await;
    live.until_that("two waiting", |message| message["waiting"] == 2).await;
    server.signal_term();
    assert_eq!(live.closed().await, 1012, "the operator is told to reconnect too");
    assert!(server.wait_for_exit().await.success());
}

#[tokio::test]
async fn a_room_made_twice_is_the_same_room() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    let waiter = server.join("r").await;
    server.room("r", &json!({})).await;
    assert_eq!(server.status(&waiter).await.number_of("position"), 1);
    assert_eq!(server.join("r").await.number, 3);
}

#[tokio::test]
async fn a_concert_added_once_is_sold_in_its_room() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let performance = json!({
        "performance_id": "quartet-1", "starts_at": "2030-06-01T19:00:00Z", "seats": { "count": 3, "amount_minor": 900 },
    });
    let concert = json!({ "id": "quartet", "title": "Quartet", "room": "r", "currency": "EUR", "performances": [performance] });
    server.admin("POST", "/concerts").json(&concert).send().await.expect(201);
    server.admin("POST", "/concerts").json(&concert).send().await.expect(200);
    let mut nowhere = concert.clone();
    nowhere["room"] = json!("nobody");
    let refused = server.admin("POST", "/concerts").json(&nowhere).send().await;
    assert!(refused.problem_fault(404, &[]).is_ok(), "{}", refused.text);
    let listed = server.get("/v1/concerts").send().await.expect(200).items();
    assert_eq!(listed, [json!({ "id": "quartet", "title": "Quartet", "room": "r" })]);
    let dates = server.get("/v1/concerts/quartet/dates").send().await.expect(200).items();
    assert_eq!(dates[0]["free"], 3, "{dates:?}");
    let seats = server.get("/v1/performances/quartet-1/seats").send().await.expect(200).items();
    assert_eq!(seats.len(), 3);
    assert_eq!(
        (&seats[0]["state"], &seats[0]["amount_minor"], &seats[0]["currency"]),
        (&json!("free"), &json!(900), &json!("EUR"))
    );
    let (_, pass) = server.admitted("r").await;
    let body = json!({ "performance_id": "quartet-1", "seat_id": seats[0]["seat_id"] });
    server.post("/v1/reservations").bearer(&pass).json(&body).send().await.expect(201);
}

async fn revoke(server: &Server, number: i64) {
    let answer = server.admin("POST", &format!("/rooms/r/tickets/{number}/revoke")).send().await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
}

#[tokio::test]
async fn a_page_of_any_origin_may_ask() {
    let server = Server::start(&[]).await;
    let asked = server.call("OPTIONS", "/v1/rooms/r/tickets").header("origin", "https://shop.example");
    let asked = asked.header("access-control-request-method", "POST");
    let answer = asked.header("access-control-request-headers", "authorization").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    server.call("PUT", "/v1/concerts").send().await.expect_problem(405, "method_not_allowed");
}
