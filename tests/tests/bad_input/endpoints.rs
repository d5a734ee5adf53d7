//! The endpoints of the contract as a table: who calls, with which body, and what may be wrong in it.

use serde_json::{Value, json};
use turnline_tests::room::policy;

use crate::scene::Scene;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Anyone,
    Ticket,
    Pass,
    Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The contract takes none here.
    Unused,
    Optional,
    Required,
}

pub struct Endpoint {
    pub method: &'static str,
    /// With `{room}` and other places for ids of the scene.
    pub path: &'static str,
    pub caller: Caller,
    pub key: Key,
    /// A body nothing is wrong with; `None` where there is none.
    pub body: Option<fn(&Scene) -> Value>,
    pub fields: &'static [Field],
}

/// A field of a body and the values it must not have, besides those of a wrong type.
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    /// Null means something here.
    pub nullable: bool,
    pub wrong: fn() -> Vec<Value>,
}

const fn required(name: &'static str, wrong: fn() -> Vec<Value>) -> Field {
    Field { name, required: true, nullable: false, wrong }
}

const fn optional(name: &'static str, wrong: fn() -> Vec<Value>) -> Field {
    Field { name, required: false, nullable: true, wrong }
}

/// Must be there, and may be null.
const fn nullable(name: &'static str, wrong: fn() -> Vec<Value>) -> Field {
    Field { name, required: true, nullable: true, wrong }
}

const fn bodiless(method: &'static str, path: &'static str, caller: Caller, key: Key) -> Endpoint {
    Endpoint { method, path, caller, key, body: None, fields: &[] }
}

pub const ENDPOINTS: &[Endpoint] = &[
    // Waiting queue
    Endpoint {
        method: "POST",
        path: "/v1/rooms/{room}/tickets",
        caller: Caller::Anyone,
        key: Key::Optional,
        body: Some(|_| json!({})),
        fields: &[
            // An anonymous room refuses any token, a well-made one too.
            optional("visitor_token", || vec![json!(""), json!("a.b.c"), json!("a".repeat(9_000))]),
            optional("lane", || vec![json!(""), json!("x".repeat(300))]),
        ],
    },
    bodiless("GET", "/v1/rooms/{room}/tickets/me", Caller::Ticket, Key::Unused),
    bodiless("POST", "/v1/rooms/{room}/tickets/me/renew", Caller::Ticket, Key::Unused),
    bodiless("DELETE", "/v1/rooms/{room}/tickets/me", Caller::Ticket, Key::Unused),
    bodiless("GET", "/v1/rooms/{room}", Caller::Anyone, Key::Unused),
    // Reservation API
    bodiless("GET", "/v1/concerts", Caller::Anyone, Key::Unused),
    bodiless("GET", "/v1/concerts/{concert}/dates", Caller::Anyone, Key::Unused),
    bodiless("GET", "/v1/performances/{performance}/seats", Caller::Anyone, Key::Unused),
    Endpoint {
        method: "POST",
        path: "/v1/reservations",
        caller: Caller::Pass,
        key: Key::Optional,
        body: Some(|scene| json!({ "performance_id": scene.performance, "seat_id": scene.free_seats[0] })),
        fields: &[required("performance_id", Vec::new), required("seat_id", Vec::new)],
    },
    bodiless("GET", "/v1/reservations/{reservation}", Caller::Pass, Key::Unused),
    bodiless("DELETE", "/v1/reservations/{reservation}", Caller::Pass, Key::Optional),
    Endpoint {
        method: "POST",
        path: "/v1/payments",
        caller: Caller::Pass,
        key: Key::Required,
        body: Some(|scene| json!({ "reservation_id": scene.reservation })),
        fields: &[required("reservation_id", Vec::new)],
    },
    bodiless("GET", "/v1/payments/{payment}", Caller::Pass, Key::Unused),
    bodiless("GET", "/v1/payments", Caller::Pass, Key::Unused),
    bodiless("POST", "/v1/payments/{payment}/cancel", Caller::Pass, Key::Optional),
    bodiless("GET", "/v1/balance", Caller::Pass, Key::Unused),
    Endpoint {
        method: "POST",
        path: "/v1/balance/charges",
        caller: Caller::Pass,
        key: Key::Required,
        body: Some(|_| json!({ "amount_minor": 100 })),
        fields: &[required("amount_minor", || {
            vec![
                json!(0),
                json!(-1),
                json!(1.5),
                json!(i64::MIN),
                json!(i64::MAX),
                json!(u64::MAX),
                json!(1e300),
            ]
        })],
    },
    bodiless("GET", "/v1/balance/ledger", Caller::Pass, Key::Unused),
    // Admin
    bodiless("GET", "/v1/admin/rooms", Caller::Admin, Key::Unused),
    Endpoint {
        method: "PUT",
        path: "/v1/admin/rooms/{room}",
        caller: Caller::Admin,
        key: Key::Unused,
        body: Some(|_| policy(&json!({}))),
        fields: POLICY,
    },
    bodiless("POST", "/v1/admin/rooms/{room}/open", Caller::Admin, Key::Unused),
    bodiless("POST", "/v1/admin/rooms/{room}/pause", Caller::Admin, Key::Unused),
    bodiless("POST", "/v1/admin/rooms/{room}/resume", Caller::Admin, Key::Unused),
    bodiless("POST", "/v1/admin/rooms/{room}/close", Caller::Admin, Key::Unused),
    Endpoint {
        method: "POST",
        path: "/v1/admin/rooms/{room}/notice",
        caller: Caller::Admin,
        key: Key::Unused,
        body: Some(|_| json!({ "text": "Doors open at eight." })),
        fields: &[nullable("text", || vec![json!("x".repeat(20_000))])],
    },
    bodiless("GET", "/v1/admin/rooms/{room}/stats", Caller::Admin, Key::Unused),
    bodiless("POST", "/v1/admin/rooms/{room}/rebuild", Caller::Admin, Key::Unused),
    bodiless("GET", "/v1/admin/dlq", Caller::Admin, Key::Unused),
    bodiless("POST", "/v1/admin/rooms/{room}/tickets/{number}/revoke", Caller::Admin, Key::Unused),
    Endpoint {
        method: "POST",
        path: "/v1/admin/concerts",
        caller: Caller::Admin,
        key: Key::Unused,
        body: Some(|_| concert(&json!({ "count": 2, "amount_minor": 100 }))),
        fields: CONCERT,
    },
];

const CONCERT: &[Field] = &[
    optional("id", || vec![json!(""), json!("a b"), json!("x".repeat(65))]),
    required("title", || vec![json!(""), json!("x".repeat(20_000))]),
    required("room", || vec![json!(""), json!("No Room")]),
    required("currency", || vec![json!(""), json!("EURO"), json!("EU"), json!("E1R")]),
    required("performances", || {
        let seats = [
            json!({ "count": 0, "amount_minor": 100 }),
            json!({ "count": -1, "amount_minor": 100 }),
            json!({ "count": 1_000_000_000, "amount_minor": 100 }),
            json!({ "count": 2, "amount_minor": -1 }),
            json!({ "count": 2, "amount_minor": 1.5 }),
            json!({ "count": 2, "amount_minor": u64::MAX }),
            json!({ "count": 2 }),
            json!({ "count": 2, "amount_minor": 100, "colour": "red" }),
            json!([]),
            json!([{ "label": "" , "amount_minor": 100 }]),
            json!([{ "label": "A1", "amount_minor": 100 }, { "label": "A1", "amount_minor": 100 }]),
            json!("two"),
        ];
        let mut wrong: Vec<Value> =
            seats.iter().map(|seats| concert(seats)["performances"].clone()).collect();
        wrong.extend([json!([]), json!([{}]), json!([{ "starts_at": "tomorrow", "seats": [] }])]);
        wrong
    }),
];

/// A concert of one performance with these seats.
fn concert(seats: &Value) -> Value {
    let performance = json!({ "starts_at": "2030-06-01T19:00:00Z", "seats": seats });
    json!({ "title": "Quartet", "room": "line", "currency": "EUR", "performances": [performance] })
}

const POLICY: &[Field] = &[
    required("capacity", uncountable),
    required("active_seconds", uncountable),
    required("max_session_seconds", uncountable),
    required("claim_seconds", uncountable),
    required("grace_seconds", uncountable),
    required("prequeue", || vec![json!("random"), json!("")]),
    optional("admit_per_minute", uncountable),
    optional("max_waiting", uncountable),
    optional("opens_at", undatable),
    optional("closes_at", undatable),
    optional("lanes", || {
        let twice = json!([{ "name": "vip", "weight": 1 }, { "name": "vip", "weight": 2 }]);
        let wrong = [
            json!(["vip"]),
            json!([{}]),
            json!([{ "name": "vip" }]),
            json!([{ "weight": 1 }]),
            json!([{ "name": "vip", "weight": 0 }]),
            json!([{ "name": "vip", "weight": -1 }]),
            json!([{ "name": "", "weight": 1 }]),
            json!([{ "name": "vip", "weight": 1, "colour": "red" }]),
            twice,
        ];
        wrong.to_vec()
    }),
    optional("go_to", || vec![json!("x".repeat(20_000)), json!("javascript:alert(1)")]),
    optional("visitor_key", || vec![json!("")]),
];

/// What is no count and no duration.
fn uncountable() -> Vec<Value> {
    vec![json!(-1), json!(1.5), json!(u64::MAX), json!(1e300)]
}

/// What is no time.
fn undatable() -> Vec<Value> {
    vec![json!("tomorrow"), json!(""), json!("2026-13-01T00:00:00Z"), json!("2026-01-01")]
}
