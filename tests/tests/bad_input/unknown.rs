//! Ids that name nothing, ids of somebody else, methods and queries that are not there.

use serde_json::{Value, json};
use turnline_tests::demo::in_path;
use turnline_tests::{Call, fresh_key};

use crate::Wrong;
use crate::endpoints::{Caller, ENDPOINTS};
use crate::scene::Scene;

/// Well-made ids nobody has, and ids no one could have.
const NOBODYS: &[&str] = &["nobody", "00000000-0000-4000-8000-000000000000", "999999999"];
const IMPOSSIBLE: &[&str] =
    &["%00", "%20", "-1", "99999999999999999999999999", "%C3%A9", "..%2F..%2Fetc%2Fpasswd"];

/// Every id in every path and body.
pub fn ids(scene: &Scene) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    for endpoint in ENDPOINTS {
        for place in ["{room}", "{concert}", "{performance}", "{reservation}", "{payment}", "{number}"] {
            // PUT makes the room it names; a room's number is looked at on its own below.
            if endpoint.path.contains(place) && endpoint.method != "PUT" {
                in_paths(scene, endpoint.method, endpoint.path, endpoint.caller, place, &mut wrongs);
            }
        }
    }
    wrongs.extend(in_bodies(scene));
    wrongs.extend(somebody_elses(scene));
    wrongs
}

/// A method no endpoint has, at every path; and paths no endpoint has.
pub fn methods(scene: &Scene) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    let mut refused = |method: &str, path: &str, caller, statuses| {
        let call = scene.call(method, path, caller);
        wrongs.push(Wrong { what: format!("{method} {path}"), call, statuses, codes: &[] });
    };
    for endpoint in ENDPOINTS {
        refused("PATCH", &scene.path(endpoint.path), endpoint.caller, &[405]);
    }
    refused("POST", "/v1/concerts", Caller::Anyone, &[405]);
    refused("DELETE", "/v1/rooms/line", Caller::Anyone, &[405]);
    refused("PUT", "/v1/reservations", Caller::Pass, &[405]);
    refused("GET", "/v1/rooms/line/tickets", Caller::Anyone, &[405]);
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/rooms", "/v1/admin/nothing", "/v2/rooms/line"] {
        refused("GET", path, Caller::Admin, &[404]);
    }
    wrongs
}

/// `/v1/authorize` without a room, or with one nobody made; lists from where there is nothing.
pub fn queries(scene: &Scene) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    let mut refused = |path: &str, statuses| {
        let call = scene.call("GET", path, Caller::Pass);
        wrongs.push(Wrong { what: path.to_owned(), call, statuses, codes: &[] });
    };
    refused("/v1/authorize", &[400, 401]);
    refused("/v1/authorize?room=", &[400, 401]);
    refused("/v1/authorize?room=nobody", &[401, 403, 404]);
    for list in ["/v1/concerts", "/v1/performances/{performance}/seats", "/v1/payments", "/v1/balance/ledger"]
    {
        for query in ["limit=0", "limit=-1", "limit=many", "limit=1000000", "cursor=nonsense", "cursor="] {
            refused(&scene.path(&format!("{list}?{query}")), &[400]);
        }
    }
    wrongs
}

fn in_paths(scene: &Scene, method: &str, path: &str, caller: Caller, place: &str, wrongs: &mut Vec<Wrong>) {
    // A ticket is of its room, so in a room that is not it is a foreign one; a number must be a number.
    let unknown: &[u16] = match (caller, place) {
        (Caller::Ticket, _) => &[404, 401],
        (_, "{number}") => &[404, 400],
        _ => &[404],
    };
    let malformed: &[u16] = if caller == Caller::Ticket { &[404, 400, 401] } else { &[404, 400] };
    let long = "x".repeat(1_000);
    let ids = NOBODYS.iter().map(|id| (*id, unknown));
    let ids = ids.chain(IMPOSSIBLE.iter().map(|id| (*id, malformed))).chain([(long.as_str(), malformed)]);
    for (id, statuses) in ids {
        let path = scene.path(&path.replacen(place, id, 1));
        let call = complete(scene.call(method, &path, caller), &path);
        wrongs.push(Wrong { what: format!("{place} unknown"), call, statuses, codes: &[] });
    }
}

/// Gives a call the body it would need if its id were right.
fn complete(call: Call, path: &str) -> Call {
    match path.rsplit('/').next() {
        Some("notice") => call.json(&json!({ "text": "x" })),
        Some("tickets") => call.json(&json!({})),
        Some(_) | None => call,
    }
}

fn in_bodies(scene: &Scene) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    let unlike = |good: &Value| match good {
        Value::Number(_) => vec![json!(0), json!(999_999_999)],
        _ => vec![json!("nobody"), json!("00000000-0000-4000-8000-000000000000"), json!("")],
    };
    let mut refused = |path: &str, body: &Value| {
        let call = scene.call("POST", path, Caller::Pass).key(&fresh_key()).json(body);
        wrongs.push(Wrong { what: format!("unknown id in {body}"), call, statuses: &[404, 400], codes: &[] });
    };
    for id in unlike(&scene.performance) {
        refused("/v1/reservations", &json!({ "performance_id": id, "seat_id": scene.free_seats[0] }));
    }
    for id in unlike(&scene.free_seats[0]) {
        refused("/v1/reservations", &json!({ "performance_id": scene.performance, "seat_id": id }));
    }
    for id in unlike(&scene.reservation) {
        refused("/v1/payments", &json!({ "reservation_id": id }));
    }
    wrongs
}

/// What others own looks like what nobody owns.
fn somebody_elses(scene: &Scene) -> Vec<Wrong> {
    let (reservation, payment) = (in_path(&scene.reservation), in_path(&scene.payment));
    let wrong = |method: &str, path: String, pass: &str| {
        let call = scene.server.call(method, &path).bearer(pass);
        Wrong { what: "somebody else's".into(), call, statuses: &[404], codes: &[] }
    };
    let pay = scene.server.post("/v1/payments").bearer(&scene.insider_pass).key(&fresh_key());
    let pay = pay.json(&json!({ "reservation_id": scene.reservation }));
    vec![
        wrong("GET", format!("/v1/reservations/{reservation}"), &scene.payer_pass),
        wrong("GET", format!("/v1/reservations/{reservation}"), &scene.insider_pass),
        wrong("DELETE", format!("/v1/reservations/{reservation}"), &scene.insider_pass),
        wrong("GET", format!("/v1/payments/{payment}"), &scene.buyer_pass),
        wrong("POST", format!("/v1/payments/{payment}/cancel"), &scene.buyer_pass),
        Wrong { what: "paying for somebody else's".into(), call: pay, statuses: &[404, 403], codes: &[] },
    ]
}
