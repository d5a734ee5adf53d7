//! 200 buyers race for 50 seats: every call is sent twice, some give back what they bought, some hold and never
//! come back, some leave. On files, and on Redis, Kafka and PostgreSQL.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use turnline_tests::servers::Addresses;
use turnline_tests::{Answer, Demo, Server, eventually, fresh_key};

const SEATS: u64 = 50;
const BUYERS: usize = 200;
/// Inside at a time: everybody gets in only if slots are freed.
const CAPACITY: u64 = 40;
/// How long who is inside may stay, and what is held lasts.
const ACTIVE_SECONDS: u64 = 20;
const PRICE: i64 = 5_000;
/// Seats somebody tries before going away.
const ATTEMPTS: usize = 10;
/// How long all of it may take.
const BOUND: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn fifty_seats_are_sold_once_each_to_two_hundred_buyers_on_files() {
    rush(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_seats_are_sold_once_each_to_two_hundred_buyers_on_servers() {
    rush(Some(Addresses::shared())).await;
}

async fn rush(on: Option<Addresses>) {
    let server = Server::start_on(on, &["--charges"], &[]).await;
    let policy = json!({
        "capacity": CAPACITY, "active_seconds": ACTIVE_SECONDS, "max_session_seconds": ACTIVE_SECONDS,
        "claim_seconds": 120, "grace_seconds": 120,
    });
    server.room("sale", &policy).await;
    server.concert("sale", SEATS).await;
    let demo = Demo::of(&server).await;
    let shop = Shop { server: &server, demo: &demo };
    let bought = join_all((0..BUYERS).map(|at| shop.visit(at))).await;
    assert!(bought.iter().filter(|bought| **bought).count() as u64 <= SEATS);
    // What was held in vain comes free; then somebody else has it.
    let mut late = BUYERS;
    eventually("every seat is sold", BOUND, async || {
        if demo.sold(&server).await == SEATS {
            return Some(());
        }
        shop.visit(late).await;
        late += 1;
        None
    })
    .await;
    eventually("every slot is free", BOUND, async || {
        let room = server.get("/v1/rooms/sale").served().await.expect(200);
        (room.number_of("active") == 0 && room.number_of("waiting") == 0).then_some(())
    })
    .await;
    assert_eq!(demo.sold(&server).await, SEATS);
}

struct Shop<'a> {
    server: &'a Server,
    demo: &'a Demo,
}

impl Shop<'_> {
    /// Somebody comes, is let in, and does as their number says; whether they own a seat in the end.
    async fn visit(&self, at: usize) -> bool {
        let visitor = self.server.join("sale").await;
        let pass = self.server.until_state_within(&visitor, "active", BOUND).await.text_of("pass");
        let charged = self.twice(&pass, "/v1/balance/charges", &json!({ "amount_minor": PRICE })).await;
        assert!((200..300).contains(&charged.status), "{}", charged.text);
        let Some(held) = self.hold_any(&pass, at * 7).await else {
            self.server.leave(&visitor).await.expect(204);
            return false;
        };
        match at % 10 {
            // Is never heard of again: slot and hold end by their time.
            0 => return false,
            1 => {
                self.server.leave(&visitor).await.expect(204);
                return false;
            }
            _ => {}
        }
        let paid = self.twice(&pass, "/v1/payments", &json!({ "reservation_id": held })).await.expect(201);
        let cancels = at % 10 == 2;
        if cancels {
            let path = format!("/v1/payments/{}", paid.text_of("payment_id"));
            self.twice(&pass, &format!("{path}/cancel"), &Value::Null).await.expect(202);
            eventually("the money is back", BOUND, async || {
                let read = self.server.get(&path).bearer(&pass).served().await.expect(200);
                (read.json["state"] == "cancelled").then_some(())
            })
            .await;
        }
        let ledger = self.server.get("/v1/balance/ledger").bearer(&pass).served().await.expect(200).items();
        let sum: i64 = ledger.iter().map(|line| line["amount_minor"].as_i64().unwrap()).sum();
        assert_eq!(ledger.len(), if cancels { 3 } else { 2 }, "a call counted twice: {ledger:?}");
        assert_eq!(sum, if cancels { PRICE } else { 0 });
        assert_eq!(self.demo.balance(self.server, &pass).await, sum);
        !cancels
    }

    /// Tries seats that the list shows as free, others first than the next buyer; the reservation.
    async fn hold_any(&self, pass: &str, from: usize) -> Option<String> {
        for attempt in 0..ATTEMPTS {
            let list = self.demo.list(self.server).await;
            let free: Vec<&Value> = list.iter().filter(|seat| seat["state"] == "free").collect();
            let seat = free.get((from + attempt) % free.len().max(1))?;
            let body = json!({ "performance_id": self.demo.performance, "seat_id": seat["seat_id"] });
            let held = self.twice(pass, "/v1/reservations", &body).await;
            if held.status == 201 {
                return Some(held.text_of("reservation_id"));
            }
            held.expect_problem(409, "seat_taken");
        }
        None
    }

    /// The same call twice at once, under one key: a double click.
    async fn twice(&self, pass: &str, path: &str, body: &Value) -> Answer {
        let key = fresh_key();
        let call = || {
            let call = self.server.post(path).bearer(pass).key(&key);
            let call = if body.is_null() { call } else { call.json(body) };
            call.served()
        };
        let (first, second) = tokio::join!(call(), call());
        // A refusal changes nothing and is judged anew: the seat may come free between the two.
        if first.status < 300 && second.status < 300 {
            assert_eq!((first.status, &first.json), (second.status, &second.json), "{path}");
            return first;
        }
        if first.status < 300 { first } else { second }
    }
}
