//! The scene the wrong requests happen in: somebody inside, somebody waiting, somebody with a held
//! seat and money, somebody who paid; and a picture of all that bad input could take from them.

use serde_json::{Value, json};
use turnline_tests::{Answer, Call, Server, Visitor, fresh_key};

use crate::endpoints::Caller;

/// What the buyer's balance holds.
const CHARGED: i64 = 50_000_000;

pub struct Scene {
    pub server: Server,
    /// Waits in room `line`, behind `insider`.
    pub waiter: Visitor,
    pub insider: Visitor,
    pub insider_pass: String,
    /// Inside room `demo`, with money and a held seat.
    pub buyer: Visitor,
    pub buyer_pass: String,
    pub reservation: Value,
    /// Paid, so outside again, with a pass that was given back.
    pub payer_pass: String,
    pub payment: Value,
    pub concert: Value,
    pub performance: Value,
    /// Seats that nobody holds.
    pub free_seats: Vec<Value>,
}

impl Scene {
    pub async fn set() -> Scene {
        let server = Server::start(&["--demo"]).await;
        server.room("line", &json!({ "capacity": 1 })).await;
        let (insider, insider_pass) = server.admitted("line").await;
        let waiter = server.join("line").await;
        let concert = server.get("/v1/concerts").send().await.expect(200).items()[0]["id"].clone();
        let dates = format!("/v1/concerts/{}/dates", plain(&concert));
        let performance = server.get(&dates).send().await.expect(200).items()[0]["performance_id"].clone();
        let mut seats = seats_of(&server, &performance).await;
        let (_, payer_pass) = server.admitted("demo").await;
        charge(&server, &payer_pass, CHARGED).await;
        let reservation = hold(&server, &payer_pass, &performance, &seats.remove(0)).await;
        let paid = server.post("/v1/payments").bearer(&payer_pass).key(&fresh_key());
        let paid = paid.json(&json!({ "reservation_id": reservation })).send().await.expect(201);
        let (buyer, buyer_pass) = server.admitted("demo").await;
        charge(&server, &buyer_pass, CHARGED).await;
        let reservation = hold(&server, &buyer_pass, &performance, &seats.remove(0)).await;
        Scene {
            payment: paid.json["payment_id"].clone(),
            free_seats: seats,
            server,
            waiter,
            insider,
            insider_pass,
            buyer,
            buyer_pass,
            reservation,
            payer_pass,
            concert,
            performance,
        }
    }

    /// Fills the places in a path with ids that exist.
    pub fn path(&self, template: &str) -> String {
        template
            .replace("{room}", "line")
            .replace("{number}", &self.waiter.number.to_string())
            .replace("{concert}", &plain(&self.concert))
            .replace("{performance}", &plain(&self.performance))
            .replace("{reservation}", &plain(&self.reservation))
            .replace("{payment}", &plain(&self.payment))
    }

    /// A call with the right credential.
    pub fn call(&self, method: &str, path: &str, caller: Caller) -> Call {
        let call = self.server.call(method, path);
        match caller {
            Caller::Anyone => call,
            Caller::Ticket => call.bearer(&self.waiter.ticket),
            Caller::Pass => call.bearer(&self.buyer_pass),
            Caller::Admin => call.bearer(self.server.admin_token()),
        }
    }

    /// Everything a visitor, a buyer or an operator would miss.
    pub async fn all_there_is_to_lose(&self) -> Value {
        let waiter = self.server.status(&self.waiter).await;
        let insider = self.server.status(&self.insider).await;
        let buyer = self.server.status(&self.buyer).await;
        let owned = |path: &str, pass: &str| self.server.get(&self.path(path)).bearer(pass).send();
        let reservation = owned("/v1/reservations/{reservation}", &self.buyer_pass).await.expect(200);
        let balance = owned("/v1/balance", &self.buyer_pass).await.expect(200);
        let ledger = owned("/v1/balance/ledger", &self.buyer_pass).await.expect(200);
        let payment = owned("/v1/payments/{payment}", &self.payer_pass).await.expect(200);
        let rooms = self.server.admin("GET", "/rooms").send().await.expect(200);
        let line = self.server.get("/v1/rooms/line").send().await.expect(200);
        let seats =
            self.server.get(&self.path("/v1/performances/{performance}/seats")).send().await.expect(200);
        json!({
            "waiter": place(&waiter), "insider": place(&insider), "buyer": place(&buyer),
            "reservation": reservation.json["state"], "balance": balance.json["amount_minor"],
            "ledger": ledger.items().len(), "payment": payment.json["state"],
            "rooms": policies(&rooms), "line": [line.json["state"], line.json["waiting"], line.json["active"]],
            "seats": seats.items().iter().map(|seat| seat["state"].clone()).collect::<Vec<_>>(),
        })
    }
}

/// An id as it stands in a path.
pub fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn place(status: &Answer) -> Value {
    json!([status.json["state"], status.json["number"], status.json["position"]])
}

/// The rooms without the figures that move by themselves.
fn policies(rooms: &Answer) -> Value {
    let mut items = rooms.items();
    items.sort_by_key(|room| room["room"].as_str().unwrap_or_default().to_owned());
    items.iter().map(|room| json!([room["room"], room["state"], room["policy"], room["capacity"]])).collect()
}

async fn seats_of(server: &Server, performance: &Value) -> Vec<Value> {
    let answer =
        server.get(&format!("/v1/performances/{}/seats", plain(performance))).send().await.expect(200);
    let free = answer.items().into_iter().filter(|seat| seat["state"] == "free");
    free.map(|seat| seat["seat_id"].clone()).collect()
}

async fn charge(server: &Server, pass: &str, amount: i64) {
    let call = server.post("/v1/balance/charges").bearer(pass).key(&fresh_key());
    let answer = call.json(&json!({ "amount_minor": amount })).send().await;
    assert!((200..300).contains(&answer.status), "a charge answered {}: {}", answer.status, answer.text);
}

/// Holds a seat; the id of the reservation.
async fn hold(server: &Server, pass: &str, performance: &Value, seat: &Value) -> Value {
    let body = json!({ "performance_id": performance, "seat_id": seat });
    let answer = server.post("/v1/reservations").bearer(pass).json(&body).send().await.expect(201);
    answer.json["reservation_id"].clone()
}
