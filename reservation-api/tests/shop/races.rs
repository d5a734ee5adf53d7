//! Many at once: a seat is sold once, a call counts once.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::scene::{PRICE, Scene, fresh};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_buyers_race_for_fifty_seats() {
    const SEATS: usize = 50;
    let scene = Arc::new(Scene::set(SEATS).await);
    let seats: Vec<String> = scene.seats().await.into_iter().map(|(seat, _)| seat).collect();
    let mut buyers = Vec::new();
    for _ in 0..200 {
        buyers.push(scene.called().await);
    }
    let mut race = JoinSet::new();
    for (at, buyer) in buyers.iter().cloned().enumerate() {
        let (scene, seats) = (scene.clone(), seats.clone());
        race.spawn(async move {
            scene.charge(&buyer, PRICE).await;
            // Each begins elsewhere and goes on to the next seat, as long as there are any.
            for step in 0..SEATS {
                let held = scene.hold(&buyer, &seats[(at * 7 + step) % SEATS]).await;
                if held.status == 201 {
                    let id = held.text("reservation_id");
                    scene.pay(&buyer, &fresh(), &id).await.expect(201);
                    return Some((buyer, held.text("seat_id")));
                }
                held.refused(409, "seat_taken");
            }
            None
        });
    }
    let sold: Vec<_> = race.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = sold.iter().map(|(_, seat)| seat.clone()).collect();
    assert_eq!((sold.len(), distinct.len()), (SEATS, SEATS), "every seat is sold, and once");
    assert!(scene.seats().await.iter().all(|(_, state)| state == "sold"));
    let winners: HashSet<_> = sold.iter().map(|(buyer, _)| buyer.number).collect();
    for buyer in &buyers {
        let expected = if winners.contains(&buyer.number) { 0 } else { PRICE };
        assert_eq!(scene.balance(buyer).await, expected, "number {}", buyer.number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_call_sent_thirty_times_at_once_counts_once() {
    let scene = Arc::new(Scene::set(2).await);
    let buyer = scene.buyer(2 * PRICE).await;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let (scene, buyer, id) = (scene.clone(), buyer.clone(), id.clone());
        calls.spawn(async move { scene.pay(&buyer, "one", &id).await });
    }
    let answers = calls.join_all().await;
    let first = answers[0].clone().expect(201);
    assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
    assert_eq!(scene.balance(&buyer).await, PRICE);
    let history = scene.get("/v1/payments", Some(&buyer.pass)).await.expect(200);
    assert_eq!(history.items().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_thirty_keys_at_once_a_reservation_is_paid_once() {
    let scene = Arc::new(Scene::set(2).await);
    let buyer = scene.buyer(2 * PRICE).await;
    let id = scene.hold(&buyer, "A1").await.expect(201).text("reservation_id");
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let (scene, buyer, id) = (scene.clone(), buyer.clone(), id.clone());
        calls.spawn(async move { scene.pay(&buyer, &fresh(), &id).await });
    }
    let (paid, refused): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(paid.len(), 1);
    refused.iter().for_each(|answer| answer.refused(403, "pass_released"));
    assert_eq!(scene.balance(&buyer).await, PRICE);
}
