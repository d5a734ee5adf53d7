//! What the shop tells, in order; and what it does when it hears of a slot.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use kernel::event::{Event, PaymentFact, Record, ReservationFact, Topic};
use kernel::ports::Clock;
use kernel::reservation::HoldEnd;
use kernel::session::{Session, Terms};
use kernel::words::EndReason;

use crate::scene::{PRICE, Scene, eventually, fresh, kind, room};

#[tokio::test]
async fn payments_are_told_in_order_failed_ones_too() {
    let scene = Scene::set(2).await;
    let running = scene.run();
    let buyer = scene.called().await;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    scene.pay(&buyer, &fresh(), &id).await.refused(402, "insufficient_balance");
    scene.charge(&buyer, PRICE).await;
    let payment = scene.pay(&buyer, &fresh(), &id).await.expect(201).text("payment_id");
    let told = scene.heard(Topic::Payments, 2).await;
    assert_eq!([kind(&told[0]), kind(&told[1])], ["PaymentFailed", "PaymentCompleted"]);
    let Event::Payment(PaymentFact::PaymentCompleted(paid)) = &told[1].event else { panic!("{:?}", told[1]) };
    assert_eq!(
        (paid.payment_id.as_str(), paid.number, paid.seat_id.as_str()),
        (payment.as_str(), buyer.number, "A1")
    );
    assert_eq!(told[1].room, room("demo"));
    running.drained().await;
}

#[tokio::test]
async fn a_reservations_story_is_told_from_its_hold_to_its_end() {
    let scene = Scene::set(4).await;
    let running = scene.run();
    let buyer = scene.buyer(PRICE).await;
    let bought = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    let given_back = scene.hold(&buyer, "A2").await.expect(201).text("reservation_id");
    let path = format!("/v1/reservations/{given_back}");
    scene.call(Method::DELETE, &path, Some(&buyer.pass), None, None).await.expect(204);
    // Paying for one seat ends the slot, and the hold on the other.
    let left = scene.hold(&buyer, "A3").await.expect(201).text("reservation_id");
    let payment = scene.pay(&buyer, &fresh(), &bought).await.expect(201).text("payment_id");
    scene.cancel(&buyer, &payment).await.expect(202);
    let late = scene.hold(&scene.called().await, "A4").await.expect(201).text("reservation_id");
    scene.advance(300);
    let told = scene.heard(Topic::Reservations, 9).await;
    let story = |id: &str| -> Vec<String> {
        let of = |record: &&Arc<Record>| matches!(&record.event, Event::Reservation(fact) if fact.reservation().reservation_id == id);
        told.iter().filter(of).map(|record| kind(record)).collect()
    };
    assert_eq!(story(&bought), ["ReservationHeld", "ReservationConfirmed", "ReservationCancelled"]);
    for id in [&given_back, &left, &late] {
        assert_eq!(story(id), ["ReservationHeld", "ReservationReleased"]);
    }
    let reason = |id: &str| {
        told.iter().find_map(|record| match &record.event {
            Event::Reservation(ReservationFact::ReservationReleased { reservation, reason })
                if reservation.reservation_id == id =>
            {
                Some(*reason)
            }
            _ => None,
        })
    };
    assert_eq!(
        [&given_back, &left, &late].map(|id| reason(id)),
        [HoldEnd::GivenBack, HoldEnd::SlotEnded, HoldEnd::Expired].map(Some)
    );
    running.drained().await;
}

#[tokio::test]
async fn holds_end_with_the_slot() {
    let scene = Scene::set(3).await;
    let running = scene.run();
    let (leaver, stayer) = (scene.called().await, scene.called().await);
    let id = scene.hold(&leaver, "A1").await.expect(201).text("reservation_id");
    scene.hold(&stayer, "A2").await.expect(201);
    scene.end(leaver.number, EndReason::Left).await;
    eventually("the seat is free", async || (scene.seat("A1").await == "free").then_some(())).await;
    assert_eq!(scene.seat("A2").await, "held");
    let read = scene.get(&format!("/v1/reservations/{id}"), Some(&leaver.pass)).await.expect(200);
    assert_eq!((read.text("state"), read.text("reason")), ("released".into(), "slot_ended".into()));
    running.drained().await;
}

#[tokio::test]
async fn holds_last_as_long_as_a_renewed_slot() {
    let scene =
        Scene::set_with(2, |config| reservation_api::Config { cache_ttl: Duration::ZERO, ..config }).await;
    let running = scene.run();
    let (renewer, idler) = (scene.called().await, scene.called().await);
    let held = scene.hold(&renewer, "A1").await.expect(201);
    scene.hold(&idler, "A2").await.expect(201);
    scene.advance(200);
    renew(&scene, renewer.number).await;
    let path = format!("/v1/reservations/{}", held.text("reservation_id"));
    let longer = scene.pass("demo", renewer.number, 300);
    eventually("the hold lasts longer", async || {
        let read = scene.get(&path, Some(&longer)).await.expect(200);
        (read.json["hold_expires_at"] != held.json["hold_expires_at"]).then_some(())
    })
    .await;
    scene.advance(100);
    assert_eq!((scene.seat("A1").await.as_str(), scene.seat("A2").await.as_str()), ("held", "free"));
    running.drained().await;
}

#[tokio::test]
async fn a_hold_that_ran_out_is_free_at_once_with_nobody_sweeping() {
    let scene =
        Scene::set_with(1, |config| reservation_api::Config { cache_ttl: Duration::ZERO, ..config }).await;
    let late = scene.buyer(PRICE).await;
    let id = scene.hold(&late, "A1").await.expect(201).text("reservation_id");
    scene.advance(299);
    let next = scene.called().await;
    scene.hold(&next, "A1").await.refused(409, "seat_taken");
    scene.advance(1);
    assert_eq!(scene.seat("A1").await, "free");
    scene.hold(&next, "A1").await.expect(201);
    let anew = crate::scene::Buyer { number: late.number, pass: scene.pass("demo", late.number, 60) };
    scene.pay(&anew, &fresh(), &id).await.refused(403, "pass_released");
    let read = scene.get(&format!("/v1/reservations/{id}"), Some(&anew.pass)).await.expect(200);
    assert_eq!(read.text("reason"), "expired");
    assert_eq!(scene.balance(&anew).await, PRICE);
}

async fn renew(scene: &Scene, number: u64) {
    let Some(session @ Session::Active { .. }) = scene.session(number).await else {
        panic!("no slot to renew")
    };
    let terms = Terms { active_seconds: 300, max_session_seconds: 900 };
    let renewed = edge::renew(&scene.rooms, &room("demo"), number, session, terms, scene.clock.now()).await;
    assert!(renewed.unwrap().is_some());
}
