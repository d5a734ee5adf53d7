//! Seats and money: held, paid, given back, sold once, and always the sum of the ledger.

use serde_json::json;
use turnline_tests::{Answer, Demo, SOON, Server, eventually, fresh_key};

#[tokio::test]
async fn paying_confirms_the_seat_and_calls_the_next() {
    let shop = Shop::open(&["--demo-capacity", "1"]).await;
    let server = &shop.server;
    let (buyer, next) = (server.join("demo").await, server.join("demo").await);
    let (mut of_buyer, mut of_next) = (server.open(&buyer).await, server.open(&next).await);
    let pass = of_buyer.until("admitted").await["pass"].as_str().expect("a pass").to_owned();
    of_next.until("position").await;
    let held = shop.hold(&pass, 0).await.expect(201);
    assert_eq!(held.json["state"], "held");
    let (price, id) = (held.number_of("amount_minor"), held.text_of("reservation_id"));
    shop.pay(&pass, &id).await.expect_problem(402, "insufficient_balance");
    assert_eq!(shop.reservation(&pass, &id).await.json["state"], "held", "the hold stays");
    shop.charge(&pass, price + 1).await;
    let paid = shop.pay(&pass, &id).await.expect(201);
    assert_eq!(paid.json["state"], "completed");
    assert_eq!(of_buyer.until("ended").await["reason"], "paid");
    of_next.until("admitted").await;
    // The pass was given back: it reads what it owns and opens nothing new.
    assert_eq!(shop.reservation(&pass, &id).await.json["state"], "confirmed");
    assert_eq!(shop.balance(&pass).await, 1);
    shop.the_balance_is_the_sum_of_its_ledger(&pass).await;
    let payments = server.get("/v1/payments").bearer(&pass).send().await.expect(200).items();
    assert!(payments.iter().any(|payment| payment["state"] == "completed"), "{payments:?}");
    assert!(payments.iter().any(|payment| payment["state"] == "failed"), "failed ones too: {payments:?}");
    shop.hold(&pass, 1).await.expect_problem(403, "pass_released");
    assert_eq!(shop.seat_state(0).await, "sold");
}

#[tokio::test]
async fn a_seat_is_held_by_one_and_free_when_given_back() {
    let shop = Shop::open(&[]).await;
    let (_, ann) = shop.server.admitted("demo").await;
    let (bob_visitor, bob) = shop.server.admitted("demo").await;
    let held = shop.hold(&ann, 0).await.expect(201);
    shop.hold(&bob, 0).await.expect_problem(409, "seat_taken");
    shop.until_seat(0, "held").await;
    let path = format!("/v1/reservations/{}", held.text_of("reservation_id"));
    let back = shop.server.delete(&path).bearer(&ann).send().await;
    assert!((200..300).contains(&back.status), "{}", back.text);
    shop.hold(&bob, 0).await.expect(201);
    for seat in 1..4 {
        shop.hold(&bob, seat).await.expect(201);
    }
    shop.hold(&bob, 4).await.expect_problem(409, "hold_limit");
    // Holds end with the slot.
    shop.server.leave(&bob_visitor).await.expect(204);
    for seat in 0..4 {
        shop.until_seat(seat, "free").await;
    }
}

#[tokio::test]
async fn many_hands_on_one_seat_and_one_gets_it() {
    let shop = Shop::open(&["--demo-capacity", "20"]).await;
    let mut passes = Vec::new();
    for _ in 0..20 {
        passes.push(shop.server.admitted("demo").await.1);
    }
    let answers = futures_util::future::join_all(passes.iter().map(|pass| shop.hold(pass, 0))).await;
    let held = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(held, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(409, "seat_taken");
    }
}

#[tokio::test]
async fn a_cancelled_payment_gives_money_and_seat_back() {
    let shop = Shop::open(&[]).await;
    let (_, pass) = shop.server.admitted("demo").await;
    let held = shop.hold(&pass, 0).await.expect(201);
    let price = held.number_of("amount_minor");
    shop.charge(&pass, price).await;
    let paid = shop.pay(&pass, &held.text_of("reservation_id")).await.expect(201);
    assert_eq!(shop.balance(&pass).await, 0);
    let payment = format!("/v1/payments/{}", paid.text_of("payment_id"));
    shop.server.post(&format!("{payment}/cancel")).bearer(&pass).send().await.expect(202);
    eventually("the payment is cancelled", SOON, async || {
        let answer = shop.server.get(&payment).bearer(&pass).send().await.expect(200);
        (answer.json["state"] == "cancelled").then_some(())
    })
    .await;
    assert_eq!(shop.balance(&pass).await, price, "the money is back");
    shop.the_balance_is_the_sum_of_its_ledger(&pass).await;
    shop.until_seat(0, "free").await;
    // Asked for again, it stays cancelled and pays back nothing more.
    let again = shop.server.post(&format!("{payment}/cancel")).bearer(&pass).send().await;
    assert!(again.status < 500, "{}", again.text);
    assert_eq!(shop.balance(&pass).await, price);
}

#[tokio::test]
async fn one_payment_for_one_reservation_however_often_it_is_asked_for() {
    let shop = Shop::open(&[]).await;
    let (_, pass) = shop.server.admitted("demo").await;
    let held = shop.hold(&pass, 0).await.expect(201);
    let (price, id) = (held.number_of("amount_minor"), held.text_of("reservation_id"));
    shop.charge(&pass, 5 * price).await;
    let answers = futures_util::future::join_all((0..10).map(|_| shop.pay(&pass, &id))).await;
    let paid = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(paid, 1, "{:?}", answers.iter().map(|answer| &answer.text).collect::<Vec<_>>());
    assert_eq!(shop.balance(&pass).await, 4 * price);
    shop.the_balance_is_the_sum_of_its_ledger(&pass).await;
}

#[tokio::test]
async fn charges_are_refused_where_they_are_not_configured() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (_, pass) = server.admitted("r").await;
    let call = server.post("/v1/balance/charges").bearer(&pass).key(&fresh_key());
    call.json(&json!({ "amount_minor": 100 })).send().await.expect_problem(403, "charges_disabled");
    let balance = server.get("/v1/balance").bearer(&pass).send().await.expect(200);
    assert_eq!(balance.number_of("amount_minor"), 0);
}

/// A server with the demo's concert.
struct Shop {
    server: Server,
    demo: Demo,
}

impl Shop {
    async fn open(args: &[&str]) -> Shop {
        let server = Server::start(&[&["--demo"], args].concat()).await;
        let demo = Demo::of(&server).await;
        Shop { server, demo }
    }

    async fn hold(&self, pass: &str, seat: usize) -> Answer {
        self.demo.hold(&self.server, pass, seat).await
    }

    async fn pay(&self, pass: &str, reservation: &str) -> Answer {
        self.demo.pay(&self.server, pass, &json!(reservation)).await
    }

    async fn charge(&self, pass: &str, amount_minor: i64) {
        self.demo.charge(&self.server, pass, amount_minor).await;
    }

    async fn reservation(&self, pass: &str, id: &str) -> Answer {
        self.server.get(&format!("/v1/reservations/{id}")).bearer(pass).send().await.expect(200)
    }

    async fn balance(&self, pass: &str) -> i64 {
        self.demo.balance(&self.server, pass).await
    }

    async fn the_balance_is_the_sum_of_its_ledger(&self, pass: &str) {
        let ledger = self.server.get("/v1/balance/ledger").bearer(pass).send().await.expect(200);
        let sum: i64 = ledger.items().iter().filter_map(|entry| entry["amount_minor"].as_i64()).sum();
        assert_eq!(self.balance(pass).await, sum, "{}", ledger.text);
    }

    async fn seat_state(&self, seat: usize) -> String {
        let seats = self.demo.list(&self.server).await;
        let found = seats.iter().find(|found| found["seat_id"] == self.demo.seats[seat]).expect("the seat");
        found["state"].as_str().expect("a state").to_owned()
    }

    async fn until_seat(&self, seat: usize, state: &str) {
        eventually(&format!("seat {seat} is {state}"), SOON, async || {
            (self.seat_state(seat).await == state).then_some(())
        })
        .await;
    }
}
