//! From a free seat to a ticket, and every way it may go wrong.

use axum::http::Method;
use serde_json::json;

use crate::scene::{PRICE, Scene, fresh};

#[tokio::test]
async fn a_visitor_holds_and_pays() {
    let scene = Scene::set(3).await;
    let buyer = scene.buyer(2 * PRICE).await;
    let held = scene.hold(&buyer, "A2").await.expect(201);
    assert_eq!((held.text("state"), held.json["amount_minor"].as_i64()), ("held".into(), Some(PRICE)));
    assert_eq!((held.text("currency"), held.text("hold_expires_at").len()), ("EUR".into(), 20));
    assert_eq!(scene.seat("A2").await, "held");
    let id = held.text("reservation_id");
    let paid = scene.pay(&buyer, &fresh(), &id).await.expect(201);
    assert_eq!(paid.text("state"), "completed");
    assert_eq!(scene.seat("A2").await, "sold", "the node that sold it never shows it free");
    let read = scene.get(&format!("/v1/reservations/{id}"), Some(&buyer.pass)).await.expect(200);
    assert_eq!((read.text("state"), read.text("payment_id")), ("confirmed".into(), paid.text("payment_id")));
    assert_eq!(scene.balance(&buyer).await, PRICE);
    let history = scene.get("/v1/payments", Some(&buyer.pass)).await.expect(200);
    assert_eq!(history.items().len(), 1);
    let one = format!("/v1/payments/{}", paid.text("payment_id"));
    assert_eq!(scene.get(&one, Some(&buyer.pass)).await.expect(200).json, history.items()[0]);
}

#[tokio::test]
async fn too_little_money_keeps_the_hold_and_the_failed_payment() {
    let scene = Scene::set(1).await;
    let buyer = scene.buyer(PRICE - 1).await;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    let key = fresh();
    let first = scene.pay(&buyer, &key, &id).await;
    first.refused(402, "insufficient_balance");
    assert_eq!(scene.seat("A1").await, "held");
    scene.charge(&buyer, 1).await;
    assert_eq!(scene.pay(&buyer, &key, &id).await, first, "the same key, the same answer");
    scene.pay(&buyer, &fresh(), &id).await.expect(201);
    let history = scene.get("/v1/payments", Some(&buyer.pass)).await.expect(200);
    let states: Vec<_> = history.items().iter().map(|payment| payment["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["completed", "failed"]);
    assert_eq!(history.items()[1]["reason"], "insufficient_balance");
}

#[tokio::test]
async fn a_repeated_call_has_one_effect_and_one_answer() {
    let scene = Scene::set(4).await;
    let buyer = scene.called().await;
    let charge = json!({ "amount_minor": PRICE });
    let first = scene.post("/v1/balance/charges", &buyer.pass, Some("k"), charge.clone()).await.expect(201);
    assert_eq!(scene.post("/v1/balance/charges", &buyer.pass, Some("k"), charge).await, first);
    let other = scene.post("/v1/balance/charges", &buyer.pass, Some("k"), json!({ "amount_minor": 1 })).await;
    other.refused(422, "idempotency_key_reused");
    assert_eq!(scene.balance(&buyer).await, PRICE);

    let seat = |seat: &str| json!({ "performance_id": "demo-1", "seat_id": seat });
    let held = scene.post("/v1/reservations", &buyer.pass, Some("k"), seat("A1")).await.expect(201);
    assert_eq!(scene.post("/v1/reservations", &buyer.pass, Some("k"), seat("A1")).await, held);
    let other = scene.post("/v1/reservations", &buyer.pass, Some("k"), seat("A2")).await;
    other.refused(422, "idempotency_key_reused");

    let second = scene.hold(&buyer, "A3").await.expect(201).text("reservation_id");
    let paid = scene.pay(&buyer, "k", &held.text("reservation_id")).await.expect(201);
    // The slot is gone with the payment; the old key goes on answering.
    assert_eq!(scene.pay(&buyer, "k", &held.text("reservation_id")).await, paid);
    scene.pay(&buyer, "k", &second).await.refused(422, "idempotency_key_reused");
    let cancel = format!("/v1/payments/{}/cancel", paid.text("payment_id"));
    let asked = scene.call(Method::POST, &cancel, Some(&buyer.pass), Some("k"), None).await.expect(202);
    assert_eq!(scene.call(Method::POST, &cancel, Some(&buyer.pass), Some("k"), None).await, asked);
}

#[tokio::test]
async fn a_seat_is_given_back_as_often_as_one_likes() {
    let scene = Scene::set(1).await;
    let (buyer, other) = (scene.buyer(PRICE).await, scene.called().await);
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    let path = format!("/v1/reservations/{id}");
    scene.hold(&other, "A1").await.refused(409, "seat_taken");
    let delete = async |pass: &str| scene.call(Method::DELETE, &path, Some(pass), None, None).await;
    delete(&other.pass).await.refused(404, "unknown_reservation");
    delete(&buyer.pass).await.expect(204);
    delete(&buyer.pass).await.expect(204);
    let read = scene.get(&path, Some(&buyer.pass)).await.expect(200);
    assert_eq!((read.text("state"), read.text("reason")), ("released".into(), "given_back".into()));
    scene.pay(&buyer, &fresh(), &id).await.refused(409, "hold_expired");
    let id = scene.hold(&other, "A1").await.expect(201).text("reservation_id");
    scene.charge(&other, PRICE).await;
    scene.pay(&other, &fresh(), &id).await.expect(201);
    let path = format!("/v1/reservations/{id}");
    let sold = scene.call(Method::DELETE, &path, Some(&other.pass), None, None).await;
    sold.refused(409, "already_confirmed");
}

#[tokio::test]
async fn four_seats_are_all_one_may_hold() {
    let scene = Scene::set(6).await;
    let buyer = scene.called().await;
    for seat in ["A1", "A2", "A3", "A4"] {
        scene.hold(&buyer, seat).await.expect(201);
    }
    scene.hold(&buyer, "A5").await.refused(409, "hold_limit");
}

#[tokio::test]
async fn wrong_bodies_keys_and_ids_are_named() {
    let scene = Scene::set(2).await;
    let buyer = scene.buyer(PRICE).await;
    let pass = &buyer.pass;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    let pay = async |key: Option<&str>, body| scene.post("/v1/payments", pass, key, body).await;
    pay(None, json!({ "reservation_id": id })).await.refused(400, "idempotency_key_required");
    pay(Some(""), json!({ "reservation_id": id })).await.refused(400, "invalid_idempotency_key");
    pay(Some(&"k".repeat(256)), json!({ "reservation_id": id }))
        .await
        .refused(400, "invalid_idempotency_key");
    pay(Some("k"), json!({ "reservation_id": id, "x": 1 })).await.refused(400, "unknown_field");
    pay(Some("k"), json!({ "reservation_id": 1 })).await.refused(400, "invalid_body");
    pay(Some("k"), json!({ "reservation_id": "nobody" })).await.refused(404, "unknown_reservation");
    let hold = async |performance: &str, seat: &str| {
        let body = json!({ "performance_id": performance, "seat_id": seat });
        scene.post("/v1/reservations", pass, None, body).await
    };
    hold("nothing", "A1").await.refused(404, "unknown_performance");
    hold("demo-1", "Z9").await.refused(404, "unknown_seat");
    for amount in [json!(0), json!(-1), json!(i64::MAX)] {
        let body = json!({ "amount_minor": amount });
        scene.post("/v1/balance/charges", pass, Some("k"), body).await.refused(400, "invalid_amount");
    }
    for amount in [json!(1.5), json!("1"), json!(u64::MAX), json!(null)] {
        let body = json!({ "amount_minor": amount });
        scene.post("/v1/balance/charges", pass, Some("k"), body).await.refused(400, "invalid_body");
    }
    scene.get("/v1/reservations/nobody", Some(pass)).await.refused(404, "unknown_reservation");
    scene.get("/v1/reservations/%00", Some(pass)).await.refused(404, "unknown_id");
    scene.get("/v1/payments/nobody", Some(pass)).await.refused(404, "unknown_payment");
    scene.get("/v1/payments/%FF", Some(pass)).await.expect(404);
    scene.cancel(&buyer, "nobody").await.refused(404, "unknown_payment");
    scene.get("/v1/payments?limit=0", Some(pass)).await.refused(400, "invalid_limit");
    scene.get("/v1/balance/ledger?cursor=x", Some(pass)).await.refused(400, "invalid_cursor");
    assert_eq!((scene.balance(&buyer).await, scene.seat("A1").await.as_str()), (PRICE, "held"));
}

#[tokio::test]
async fn charges_are_refused_where_they_are_not_configured() {
    let scene =
        Scene::set_with(1, |config| reservation_api::Config { charges_enabled: false, ..config }).await;
    let buyer = scene.called().await;
    let body = json!({ "amount_minor": 1 });
    scene.post("/v1/balance/charges", &buyer.pass, Some("k"), body).await.refused(403, "charges_disabled");
    assert_eq!(scene.balance(&buyer).await, 0);
}
