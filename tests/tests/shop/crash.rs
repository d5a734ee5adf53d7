//! The process ends at every point between two steps of a purchase and of its cancelling, and is started again:
//! the seat is sold once, the money is where it belongs, and the slot is free for the next. On files, and on
//! Redis, Kafka and PostgreSQL.
use std::time::Duration;

use futures_util::{StreamExt, stream};
use kernel::crash::CrashPoint;
use serde_json::{Value, json};
use turnline_tests::servers::Addresses;
use turnline_tests::{Answer, Call, Demo, Server, Site, Visitor, eventually, fresh_key};

/// How long anything may stand in the middle once the process is back, on a slow and busy machine.
const BOUND: Duration = Duration::from_secs(30);
/// Purchases at a time.
const WIDTH: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_survives_a_crash_at_every_point_on_files() {
    at_every_point(|| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_survives_a_crash_at_every_point_on_servers() {
    at_every_point(|| Some(Addresses::shared())).await;
}

async fn at_every_point(on: fn() -> Option<Addresses>) {
    stream::iter(CrashPoint::ALL)
        .for_each_concurrent(WIDTH, async |point| Purchase::set(point, on()).await.goes_through().await)
        .await;
}

/// Somebody buys the first seat and gives it back, and somebody waits behind, while the process ends once.
struct Purchase {
    point: CrashPoint,
    server: Server,
    demo: Demo,
    buyer: Visitor,
    next: Visitor,
    pass: String,
    price: i64,
    crashes: u32,
}

impl Purchase {
    async fn set(point: CrashPoint, on: Option<Addresses>) -> Purchase {
        let name = format!("{point:?}");
        let args = ["--demo", "--demo-capacity", "1", "--demo-seats", "2"];
        let server = Server::start_on(on, &args, &[("TURNLINE_CRASH_AT", &name)]).await;
        let demo = Demo::of(&server).await;
        let (buyer, pass) = server.admitted("demo").await;
        let next = server.join("demo").await;
        let price = demo.list(&server).await[0]["amount_minor"].as_i64().expect("a price");
        demo.charge(&server, &pass, price).await;
        Purchase { point, server, demo, buyer, next, pass, price, crashes: 0 }
    }

    async fn goes_through(mut self) {
        let seat = json!({ "performance_id": self.demo.performance, "seat_id": self.demo.seats[0] });
        let held = self.insist("/v1/reservations", &seat).await.expect(201);
        let reservation = held.text_of("reservation_id");
        let paid = self.insist("/v1/payments", &json!({ "reservation_id": reservation })).await.expect(201);
        assert_eq!(paid.json["state"], "completed", "{:?}", self.point);
        let payment = paid.text_of("payment_id");
        self.until("the next one is inside", async |site, purchase| {
            site.get("/v1/rooms/demo/tickets/me")
                .bearer(&purchase.next.ticket)
                .try_send()
                .await
                .ok()?
                .is("active")
        })
        .await;
        self.until("the payer's ticket has ended", async |site, purchase| {
            site.get("/v1/rooms/demo/tickets/me")
                .bearer(&purchase.buyer.ticket)
                .try_send()
                .await
                .ok()?
                .is("ended")
        })
        .await;
        self.is_sold(&reservation).await;

        self.insist(&format!("/v1/payments/{payment}/cancel"), &Value::Null).await.expect(202);
        let path = format!("/v1/payments/{payment}");
        self.until("the payment is cancelled", async |site, purchase| {
            site.get(&path).bearer(&purchase.pass).try_send().await.ok()?.is("cancelled")
        })
        .await;
        // What heard of the slot's end is behind us too: whoever was to crash there has.
        self.until("the process ended where it was to", async |_, purchase| {
            (purchase.crashes > 0).then_some(())
        })
        .await;
        self.is_given_back(&reservation).await;
    }

    /// Asks under one key until it is answered, as a caller does whose connection broke.
    async fn insist(&mut self, path: &str, body: &Value) -> Answer {
        let (path, key, pass) = (path.to_owned(), fresh_key(), self.pass.clone());
        self.until(&format!("{path} is answered"), async |site, _| {
            let call: Call = site.post(&path).bearer(&pass).key(&key);
            let call = if body.is_null() { call } else { call.json(body) };
            call.try_send().await.ok().filter(|answer| answer.status != 503)
        })
        .await
    }

    /// Asks until there is an answer; starts the process again where it has ended.
    async fn until<T>(&mut self, what: &str, mut ask: impl AsyncFnMut(&Site, &Purchase) -> Option<T>) -> T {
        let what = format!("{:?}: {what}", self.point);
        eventually(&what, BOUND, async || {
            if self.server.has_ended() {
                self.crashes += 1;
                self.server.forget_env();
                self.server.restart().await;
            }
            ask(&self.server, self).await
        })
        .await
    }

    /// What is there, whether or not the process ends over the question.
    async fn read(&mut self, path: &str) -> Answer {
        let (path, pass) = (path.to_owned(), self.pass.clone());
        let what = format!("{path} is read");
        let answer = self.until(&what, async |site, _| {
            let call = site.get(&path).bearer(&pass);
            call.try_send().await.ok().filter(|answer| answer.status != 503)
        });
        answer.await.expect(200)
    }

    async fn is_sold(&mut self, reservation: &str) {
        let point = self.point;
        let read = self.read(&format!("/v1/reservations/{reservation}")).await;
        assert_eq!(read.json["state"], "confirmed", "{point:?}");
        let seats = self.read(&self.demo.seats_path()).await.items();
        assert_eq!(seats.iter().filter(|seat| seat["state"] == "sold").count(), 1, "{point:?}: {seats:?}");
        self.ledger_is(&[-self.price, self.price]).await;
    }

    async fn is_given_back(&mut self, reservation: &str) {
        let point = self.point;
        let read = self.read(&format!("/v1/reservations/{reservation}")).await;
        assert_eq!(read.json["state"], "cancelled", "{point:?}");
        eventually(&format!("{point:?}: the seat is free"), BOUND, async || {
            (self.demo.list(&self.server).await[0]["state"] == "free").then_some(())
        })
        .await;
        self.ledger_is(&[self.price, -self.price, self.price]).await;
        assert_eq!(self.crashes, 1, "{point:?}");
        let room = self.read("/v1/rooms/demo").await;
        assert_eq!((room.number_of("active"), room.number_of("waiting")), (1, 0), "{point:?}");
    }

    /// The newest first; and the balance is its sum.
    async fn ledger_is(&mut self, amounts: &[i64]) {
        let ledger = self.read("/v1/balance/ledger").await.items();
        let told: Vec<i64> = ledger.iter().map(|line| line["amount_minor"].as_i64().unwrap()).collect();
        assert_eq!(told, amounts, "{:?}: {ledger:?}", self.point);
        let balance = self.read("/v1/balance").await.number_of("amount_minor");
        assert_eq!(balance, amounts.iter().sum::<i64>(), "{:?}", self.point);
    }
}

/// Shortens the questions above.
trait Reads {
    fn is(&self, state: &str) -> Option<()>;
}

impl Reads for Answer {
    fn is(&self, state: &str) -> Option<()> {
        (self.status == 200 && self.json["state"] == state).then_some(())
    }
}
