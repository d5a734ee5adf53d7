//! The scene the wrong requests happen in: somebody inside, somebody waiting, somebody with a held
//! seat and money, somebody who paid; and a picture of all that bad input could take from them.

use serde_json::{Value, json};
use turnline_tests::demo::in_path;
use turnline_tests::{Answer, Call, Demo, Server, Visitor};

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
        let demo = Demo::of(&server).await;
        let (_, payer_pass) = server.admitted("demo").await;
        demo.charge(&server, &payer_pass, CHARGED).await;
        let reservation = demo.hold(&server, &payer_pass, 0).await.expect(201).json["reservation_id"].clone();
        let paid = demo.pay(&server, &payer_pass, &reservation).await.expect(201);
        let (buyer, buyer_pass) = server.admitted("demo").await;
        demo.charge(&server, &buyer_pass, CHARGED).await;
        let reservation = demo.hold(&server, &buyer_pass, 1).await.expect(201).json["reservation_id"].clone();
        Scene {
            payment: paid.json["payment_id"].clone(),
            free_seats: demo.seats[2..].to_vec(),
            server,
            waiter,
            insider,
            insider_pass,
            buyer,
            buyer_pass,
            reservation,
            payer_pass,
            concert: demo.concert,
            performance: demo.performance,
        }
    }

    /// Fills the places in a path with ids that exist.
    pub fn path(&self, template: &str) -> String {
        template
            .replace("{room}", "line")
            .replace("{number}", &self.waiter.number.to_string())
            .replace("{concert}", &in_path(&self.concert))
            .replace("{performance}", &in_path(&self.performance))
            .replace("{reservation}", &in_path(&self.reservation))
            .replace("{payment}", &in_path(&self.payment))
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
        let concerts = self.server.get("/v1/concerts").send().await.expect(200);
        let line = self.server.get("/v1/rooms/line").send().await.expect(200);
        let seats =
            self.server.get(&self.path("/v1/performances/{performance}/seats")).send().await.expect(200);
        json!({
            "waiter": place(&waiter), "insider": place(&insider), "buyer": place(&buyer),
            "reservation": reservation.json["state"], "balance": balance.json["amount_minor"],
            "ledger": ledger.items().len(), "payment": payment.json["state"],
            "concerts": concerts.items().len(), "rooms": policies(&rooms), "line": [line.json["state"], line.json["waiting"], line.json["active"]],
            "seats": seats.items().iter().map(|seat| seat["state"].clone()).collect::<Vec<_>>(),
        })
    }
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
