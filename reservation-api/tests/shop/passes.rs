//! What a pass opens, and what it no longer opens when its slot has ended.

use kernel::session::Session;
use kernel::words::EndReason;
use serde_json::json;

use crate::scene::{ADMIN, Buyer, PRICE, Scene, fresh};

#[tokio::test]
async fn only_a_pass_opens_the_shop() {
    let scene = Scene::set(1).await;
    let buyer = scene.called().await;
    for path in ["/v1/balance", "/v1/balance/ledger", "/v1/payments", "/v1/payments/x", "/v1/reservations/x"]
    {
        scene.get(path, None).await.refused(401, "pass_required");
        scene.get(path, Some("nonsense")).await.refused(401, "invalid_pass");
        scene.get(path, Some(&buyer.pass[..buyer.pass.len() - 1])).await.refused(401, "invalid_pass");
        scene.get(path, Some(ADMIN)).await.expect(401);
    }
    scene.hold(&Buyer { number: 1, pass: "nonsense".into() }, "A1").await.refused(401, "invalid_pass");
    scene.advance(300);
    scene.get("/v1/balance", Some(&buyer.pass)).await.refused(401, "pass_expired");
}

#[tokio::test]
async fn a_concert_belongs_to_its_room() {
    let scene = Scene::set(1).await;
    let foreign = scene.called_into("other").await;
    scene.hold(&foreign, "A1").await.refused(403, "wrong_room");
    let buyer = scene.called().await;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    // The same ticket id in another room is somebody else.
    assert_eq!(foreign.number, buyer.number);
    let read = scene.get(&format!("/v1/reservations/{id}"), Some(&foreign.pass)).await;
    read.refused(404, "unknown_reservation");
    scene.pay(&foreign, &fresh(), &id).await.refused(404, "unknown_reservation");
}

#[tokio::test]
async fn using_a_pass_claims_its_slot() {
    let scene = Scene::set(1).await;
    let buyer = scene.called().await;
    assert!(matches!(scene.session(buyer.number).await, Some(Session::Called { .. })));
    scene.get("/v1/balance", Some(&buyer.pass)).await.expect(200);
    scene.advance(5);
    let held = scene.hold(&buyer, "A1").await.expect(201);
    let Some(Session::Active { expires_at, .. }) = scene.session(buyer.number).await else {
        panic!("the slot was not claimed")
    };
    assert_eq!(held.text("hold_expires_at"), expires_at.to_string(), "a hold lasts as long as the slot");
}

#[tokio::test]
async fn a_pass_given_back_reads_repeats_and_cancels_and_opens_nothing() {
    for reason in [EndReason::Left, EndReason::Revoked, EndReason::Expired] {
        let scene = Scene::set(3).await;
        let buyer = scene.buyer(3 * PRICE).await;
        let seat = json!({ "performance_id": "demo-1", "seat_id": "A1" });
        let held = scene.post("/v1/reservations", &buyer.pass, Some("h"), seat.clone()).await.expect(201);
        let id = held.text("reservation_id");
        let failed = scene.hold(&buyer, "A2").await.expect(201).text("reservation_id");
        scene.end(buyer.number, reason).await;

        assert_eq!(scene.post("/v1/reservations", &buyer.pass, Some("h"), seat).await, held);
        let charge = json!({ "amount_minor": PRICE });
        let charged = scene.post("/v1/balance/charges", &buyer.pass, Some("c"), charge).await;
        charged.refused(403, "pass_released");
        scene.hold(&buyer, "A3").await.refused(403, "pass_released");
        scene.pay(&buyer, &fresh(), &id).await.refused(403, "pass_released");
        scene.pay(&buyer, &fresh(), &failed).await.refused(403, "pass_released");
        assert_eq!(scene.balance(&buyer).await, 3 * PRICE);
        scene.get(&format!("/v1/reservations/{id}"), Some(&buyer.pass)).await.expect(200);
        scene.get("/v1/payments", Some(&buyer.pass)).await.expect(200);
    }
}

#[tokio::test]
async fn who_paid_opens_nothing_more_at_once() {
    let scene = Scene::set(3).await;
    let buyer = scene.buyer(3 * PRICE).await;
    let other = scene.hold(&buyer, "A2").await.expect(201).text("reservation_id");
    let payment = scene.buy(&buyer, "A1").await;
    // Nobody has heard of the payment yet, and its slot is over all the same.
    assert!(scene.session(buyer.number).await.is_some());
    scene.pay(&buyer, &fresh(), &other).await.refused(403, "pass_released");
    scene.hold(&buyer, "A3").await.refused(403, "pass_released");
    let charge = json!({ "amount_minor": 1 });
    scene.post("/v1/balance/charges", &buyer.pass, Some("c"), charge).await.refused(403, "pass_released");
    let read = scene.get(&format!("/v1/reservations/{other}"), Some(&buyer.pass)).await.expect(200);
    assert_eq!((read.text("state"), read.text("reason")), ("released".into(), "slot_ended".into()));
    scene.cancel(&buyer, &payment).await.expect(202);
}
