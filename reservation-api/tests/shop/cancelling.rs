//! Cancellations: asked for over HTTP, carried out over the event log, answered there.

use kernel::contract::shop::told;
use kernel::event::{CancellationFact, Event, PaymentRef, Record, ReplyFact, Topic};
use kernel::ports::{Clock, EventLog};

use crate::scene::{PRICE, Scene, eventually, fresh, kind, room};

#[tokio::test]
async fn a_cancelled_payment_ends_with_the_money_back_and_the_seat_free() {
    let scene = Scene::set(1).await;
    let running = scene.run();
    let buyer = scene.buyer(PRICE).await;
    let payment = scene.buy(&buyer, "A1").await;
    let asked = scene.cancel(&buyer, &payment).await.expect(202);
    assert_eq!(asked.text("payment_id"), payment);
    let path = format!("/v1/payments/{payment}");
    let ended = eventually("the payment is cancelled", async || {
        let read = scene.get(&path, Some(&buyer.pass)).await.expect(200);
        (read.json["state"] == "cancelled").then_some(read)
    })
    .await;
    assert_eq!(scene.balance(&buyer).await, PRICE);
    assert_eq!(scene.seat("A1").await, "free");
    let reservation = format!("/v1/reservations/{}", ended.text("reservation_id"));
    let reservation = scene.get(&reservation, Some(&buyer.pass)).await.expect(200);
    assert_eq!(reservation.text("state"), "cancelled");
    let ledger = scene.get("/v1/balance/ledger", Some(&buyer.pass)).await.expect(200);
    let kinds: Vec<_> = ledger.items().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["refund", "payment", "charge"]);
    assert_eq!(ledger.items()[0]["reference"], payment.as_str());
    // Asked again, it stands as it is; the seat is somebody else's to buy.
    assert_eq!(scene.cancel(&buyer, &payment).await.expect(202).text("state"), "cancelled");
    scene.hold(&scene.called().await, "A1").await.expect(201);

    let replies = scene.heard(Topic::PaymentCancellationReplies, 1).await;
    assert_eq!(kind(&replies[0]), "PaymentCancellationSucceeded");
    let told = scene.heard(Topic::Payments, 2).await;
    assert_eq!([kind(&told[0]), kind(&told[1])], ["PaymentCompleted", "PaymentCancelled"]);
    running.drained().await;
}

#[tokio::test]
async fn a_cancellation_that_cannot_be_is_refused_over_http_and_over_the_log() {
    let scene = Scene::set(1).await;
    let running = scene.run();
    let buyer = scene.called().await;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    scene.pay(&buyer, &fresh(), &id).await.refused(402, "insufficient_balance");
    let history = scene.get("/v1/payments", Some(&buyer.pass)).await.expect(200);
    let payment = history.items()[0]["payment_id"].as_str().unwrap().to_owned();
    scene.cancel(&buyer, &payment).await.refused(409, "payment_not_completed");

    // Somebody asks over the log all the same: twice for this one, once for one that is not there.
    for (event, payment_id) in [("a", payment.as_str()), ("b", &payment), ("c", "nothing")] {
        let asked = PaymentRef {
            room: room("demo"),
            payment_id: payment_id.to_owned(),
            reservation_id: id.clone(),
            performance_id: "demo-1".to_owned(),
            seat_id: "A1".to_owned(),
            number: buyer.number,
            amount_minor: PRICE,
            currency: "EUR".to_owned(),
        };
        let record = Record {
            id: event.to_owned(),
            room: room("demo"),
            at: scene.clock.now(),
            traceparent: None,
            event: Event::Cancellation(CancellationFact::CancelPaymentRequested(asked)),
        };
        scene.rooms.publish(vec![record]).await.unwrap();
    }
    let replies = scene.heard(Topic::PaymentCancellationReplies, 2).await;
    let reasons: Vec<_> = replies
        .iter()
        .map(|reply| match &reply.event {
            Event::Reply(ReplyFact::PaymentCancellationFailed { payment, reason }) => {
                (payment.payment_id.clone(), reason.clone())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [(payment, "nothing_paid".to_owned()), ("nothing".to_owned(), "unknown_payment".to_owned())];
    assert_eq!(reasons, expected);
    assert_eq!((scene.balance(&buyer).await, scene.seat("A1").await.as_str()), (0, "held"));
    running.drained().await;
}

#[tokio::test]
async fn a_cancellation_that_was_lost_is_asked_for_again() {
    let scene = Scene::set(1).await;
    let buyer = scene.buyer(PRICE).await;
    let payment = scene.buy(&buyer, "A1").await;
    scene.cancel(&buyer, &payment).await.expect(202);
    // The request is marked as told, and nobody ever heard it.
    told(&*scene.store).await;
    let running = scene.run();
    scene.advance(31);
    let path = format!("/v1/payments/{payment}");
    eventually("the payment is cancelled", async || {
        let read = scene.get(&path, Some(&buyer.pass)).await.expect(200);
        (read.json["state"] == "cancelled").then_some(())
    })
    .await;
    assert_eq!(scene.balance(&buyer).await, PRICE);
    running.drained().await;
}
