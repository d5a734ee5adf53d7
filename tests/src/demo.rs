//! The concert that `--demo` seeds: its one performance and the seats of it.

use serde_json::{Value, json};

use crate::{Answer, Site, fresh_key};

/// The demo's performance; ids are kept as the server wrote them.
pub struct Demo {
    pub concert: Value,
    pub performance: Value,
    /// In the order of the list.
    pub seats: Vec<Value>,
}

impl Demo {
    pub async fn of(server: &Site) -> Demo {
        let concert = server.get("/v1/concerts").send().await.expect(200).items()[0]["id"].clone();
        let dates = server.get(&format!("/v1/concerts/{}/dates", in_path(&concert))).send().await.expect(200);
        let performance = dates.items()[0]["performance_id"].clone();
        let mut demo = Demo { concert, performance, seats: Vec::new() };
        demo.seats = demo.list(server).await.iter().map(|seat| seat["seat_id"].clone()).collect();
        demo
    }

    /// The seats as the public list tells them, page after page.
    pub async fn list(&self, server: &Site) -> Vec<Value> {
        let mut seats = Vec::new();
        let mut query = String::new();
        loop {
            let page = server.get(&format!("{}{query}", self.seats_path())).served().await.expect(200);
            seats.extend(page.items());
            match page.json["next"].as_str() {
                Some(next) => query = format!("?cursor={next}"),
                None => return seats,
            }
        }
    }

    /// How many seats are sold.
    pub async fn sold(&self, server: &Site) -> u64 {
        self.list(server).await.iter().filter(|seat| seat["state"] == "sold").map(|_| 1).sum()
    }

    pub fn seats_path(&self) -> String {
        format!("/v1/performances/{}/seats", in_path(&self.performance))
    }

    /// Asks for a seat, by its place in the list.
    pub async fn hold(&self, server: &Site, pass: &str, seat: usize) -> Answer {
        let body = json!({ "performance_id": self.performance, "seat_id": self.seats[seat] });
        server.post("/v1/reservations").bearer(pass).json(&body).send().await
    }

    /// Asks to pay, under a new key.
    pub async fn pay(&self, server: &Site, pass: &str, reservation: &Value) -> Answer {
        let call = server.post("/v1/payments").bearer(pass).key(&fresh_key());
        call.json(&json!({ "reservation_id": reservation })).send().await
    }

    /// Puts money on the balance.
    pub async fn charge(&self, server: &Site, pass: &str, amount_minor: i64) {
        let call = server.post("/v1/balance/charges").bearer(pass).key(&fresh_key());
        let answer = call.json(&json!({ "amount_minor": amount_minor })).send().await;
        assert!((200..300).contains(&answer.status), "a charge answered {}: {}", answer.status, answer.text);
    }

    pub async fn balance(&self, server: &Site, pass: &str) -> i64 {
        server.get("/v1/balance").bearer(pass).served().await.expect(200).number_of("amount_minor")
    }
}

/// An id as it stands in a path, be it a text or a number.
pub fn in_path(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
