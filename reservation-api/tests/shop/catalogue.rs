//! What everybody may read, and how the operator adds to it.

use axum::http::Method;
use serde_json::{Value, json};

use crate::scene::{ADMIN, Answer, PRICE, Scene};

async fn add(scene: &Scene, body: Value) -> Answer {
    scene.call(Method::POST, "/v1/admin/concerts", Some(ADMIN), None, Some(body)).await
}

fn body(id: &str) -> Value {
    json!({
        "id": id, "title": "A matinee", "room": "demo", "currency": "EUR",
        "performances": [
            {"starts_at": "2030-06-01T15:00:00Z", "seats": [{"label": "Box 1", "seat_id": "box", "amount_minor": 9_900}]},
            {"performance_id": format!("{id}-late"), "starts_at": "2030-06-01T19:00:00Z", "seats": {"count": 30, "amount_minor": 100}},
        ],
    })
}

#[tokio::test]
async fn everybody_reads_concerts_dates_and_seats() {
    let scene = Scene::set(45).await;
    let buyer = scene.buyer(PRICE).await;
    scene.buy(&buyer, "A1").await;
    scene.hold(&scene.called().await, "B1").await.expect(201);
    let concerts = scene.get("/v1/concerts", None).await.expect(200);
    assert_eq!(concerts.json, json!({"items": [{"id": "demo", "title": "An evening", "room": "demo"}]}));
    let dates = scene.get("/v1/concerts/demo/dates", None).await.expect(200);
    assert_eq!(
        (dates.items()[0]["performance_id"].as_str(), dates.items()[0]["free"].as_u64()),
        (Some("demo-1"), Some(43))
    );
    let seats = scene.get("/v1/performances/demo-1/seats", None).await.expect(200);
    let sold =
        json!({"seat_id": "A1", "label": "A1", "state": "sold", "amount_minor": PRICE, "currency": "EUR"});
    assert_eq!(
        (seats.items().len(), &seats.items()[0], &seats.items()[20]["state"]),
        (45, &sold, &json!("held"))
    );
    scene.get("/v1/concerts/nothing/dates", None).await.refused(404, "unknown_concert");
    scene.get("/v1/performances/nothing/seats", None).await.refused(404, "unknown_performance");
}

#[tokio::test]
async fn lists_are_read_part_by_part() {
    let scene = Scene::set(45).await;
    let (mut seen, mut path) = (Vec::new(), "/v1/performances/demo-1/seats?limit=20".to_owned());
    loop {
        let part = scene.get(&path, None).await.expect(200);
        seen.extend(part.items().iter().map(|seat| seat["seat_id"].as_str().unwrap().to_owned()));
        let Some(next) = part.json["next"].as_str() else { break };
        path = format!("/v1/performances/demo-1/seats?limit=20&cursor={next}");
    }
    let all: Vec<_> = scene.seats().await.into_iter().map(|(seat, _)| seat).collect();
    assert_eq!(seen, all);
    for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=x"] {
        scene.get(&format!("/v1/performances/demo-1/seats?{wrong}"), None).await.expect(400);
    }
}

#[tokio::test]
async fn caches_may_keep_a_list_until_it_changes() {
    let scene = Scene::set(2).await;
    let first = scene.get("/v1/performances/demo-1/seats", None).await.expect(200);
    let again = scene.get("/v1/performances/demo-1/seats", None).await.expect(200);
    assert_eq!(first.etag, again.etag);
    scene.hold(&scene.called().await, "A1").await.expect(201);
    let changed = scene.get("/v1/performances/demo-1/seats", None).await.expect(200);
    assert_ne!(first.etag, changed.etag);
}

#[tokio::test]
async fn the_operator_adds_a_concert_once() {
    let scene = Scene::set(1).await;
    let added = add(&scene, body("matinee")).await.expect(201);
    let performances = &added.json["performances"];
    assert_eq!(
        (&performances[0]["performance_id"], &performances[1]["seats"]),
        (&json!("matinee-1"), &json!(30))
    );
    assert_eq!(add(&scene, body("matinee")).await.expect(200).json, added.json);
    let mut changed = body("matinee");
    changed["title"] = json!("Another");
    add(&scene, changed).await.refused(409, "concert_exists");
    let mut thief = body("thief");
    thief["performances"][0]["performance_id"] = json!("demo-1");
    add(&scene, thief).await.refused(409, "performance_exists");
    let mut francs = body("francs");
    francs["currency"] = json!("CHF");
    add(&scene, francs).await.refused(409, "currency_mismatch");
    let seats = scene.get("/v1/performances/matinee-1/seats", None).await.expect(200);
    assert_eq!((&seats.items()[0]["seat_id"], &seats.items()[0]["label"]), (&json!("box"), &json!("Box 1")));
    assert_eq!(scene.get("/v1/concerts", None).await.expect(200).items().len(), 2);
}

#[tokio::test]
async fn a_concert_with_a_mistake_is_refused_by_name() {
    let scene = Scene::set(1).await;
    let mut nameless = body("x");
    nameless.as_object_mut().unwrap().remove("id");
    let first = add(&scene, nameless.clone()).await;
    // The late performance of `body` is named after its concert.
    assert_eq!(first.expect(201).json["id"], add(&scene, nameless).await.expect(200).json["id"]);
    let mistakes: [(&str, Value, &str); 8] = [
        ("/title", json!(""), "invalid_concert"),
        ("/room", json!("A B"), "invalid_body"),
        ("/currency", json!("euro"), "invalid_body"),
        ("/performances", json!([]), "invalid_concert"),
        ("/performances/0/starts_at", json!("tomorrow"), "invalid_body"),
        ("/performances/0/seats", json!([]), "invalid_concert"),
        ("/performances/0/seats/0/amount_minor", json!(0), "invalid_concert"),
        ("/performances/1/seats/count", json!(1_000_000), "invalid_concert"),
    ];
    for (place, wrong, code) in mistakes {
        let mut body = body("y");
        *body.pointer_mut(place).unwrap() = wrong;
        add(&scene, body).await.refused(400, code);
    }
    let mut unknown = body("y");
    unknown["room"] = json!("nowhere");
    add(&scene, unknown).await.refused(404, "unknown_room");
    let mut surprise = body("y");
    surprise["surprise"] = json!(1);
    add(&scene, surprise).await.refused(400, "unknown_field");
    for pass in [None, Some("wrong")] {
        let answer = scene.call(Method::POST, "/v1/admin/concerts", pass, None, Some(body("y"))).await;
        answer.refused(401, "admin_token_required");
    }
}

#[tokio::test]
async fn every_call_is_described() {
    let scene = Scene::set(1).await;
    let described: Vec<String> = scene
        .description()
        .paths
        .paths
        .iter()
        .map(|(path, item)| {
            let methods = [("GET", &item.get), ("POST", &item.post), ("DELETE", &item.delete)];
            let methods: Vec<_> =
                methods.iter().filter(|(_, call)| call.is_some()).map(|(name, _)| *name).collect();
            format!("{} {path}", methods.join("|"))
        })
        .collect();
    let expected = [
        "POST /v1/admin/concerts",
        "GET /v1/balance",
        "POST /v1/balance/charges",
        "GET /v1/balance/ledger",
        "GET /v1/concerts",
        "GET /v1/concerts/{id}/dates",
        "GET|POST /v1/payments",
        "GET /v1/payments/{id}",
        "POST /v1/payments/{id}/cancel",
        "GET /v1/performances/{id}/seats",
        "POST /v1/reservations",
        "GET|DELETE /v1/reservations/{id}",
    ];
    assert_eq!(described, expected);
}
