//! What was answered is there after a restart, orderly or not; what was not told yet is told then.

use kernel::event::Topic;
use kernel::ports::ReservationStore;

use crate::scene::{PRICE, Scene, eventually, fresh, kind};

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let scene = Scene::set(3).await;
    let (payer, holder) = (scene.buyer(2 * PRICE).await, scene.buyer(PRICE).await);
    let id = scene.hold(&payer, "A1").await.expect(201).text("reservation_id");
    let key = fresh();
    let paid = scene.pay(&payer, &key, &id).await.expect(201);
    let held = scene.hold(&holder, "A2").await.expect(201).text("reservation_id");
    // Killed before anything was told.
    let scene = scene.killed();
    assert_eq!((scene.seat("A1").await.as_str(), scene.seat("A2").await.as_str()), ("sold", "held"));
    assert_eq!(scene.pay(&payer, &key, &id).await, paid, "the same call, the same answer");
    assert_eq!(scene.balance(&payer).await, PRICE);
    scene.pay(&holder, &fresh(), &held).await.expect(201);
    let running = scene.run();
    let told = scene.heard(Topic::Payments, 2).await;
    assert_eq!([kind(&told[0]), kind(&told[1])], ["PaymentCompleted", "PaymentCompleted"]);
    running.drained().await;
}

#[tokio::test]
async fn a_cancellation_goes_on_after_a_restart() {
    let scene = Scene::set(1).await;
    let buyer = scene.buyer(PRICE).await;
    let payment = scene.buy(&buyer, "A1").await;
    scene.cancel(&buyer, &payment).await.expect(202);
    let scene = scene.reopened();
    let running = scene.run();
    let path = format!("/v1/payments/{payment}");
    eventually("the payment is cancelled", async || {
        let read = scene.get(&path, Some(&buyer.pass)).await.expect(200);
        (read.json["state"] == "cancelled").then_some(())
    })
    .await;
    running.drained().await;
    assert_eq!((scene.balance(&buyer).await, scene.seat("A1").await.as_str()), (PRICE, "free"));
    // A drained service has told everything, and does nothing twice when it starts again.
    assert!(scene.store.outbox(10).await.unwrap().entries.is_empty());
    let scene = scene.reopened();
    let running = scene.run();
    scene.heard(Topic::PaymentCancellationReplies, 1).await;
    running.drained().await;
    assert_eq!(scene.balance(&buyer).await, PRICE);
}
