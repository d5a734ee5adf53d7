//! Idempotency keys: refused when they are none, remembered when they are: the same call again gets
//! the same answer and has no second effect, another body under the same key is refused.

use serde_json::{Value, json};
use turnline_tests::{Answer, fresh_key};

use crate::Wrong;
use crate::endpoints::{ENDPOINTS, Key};
use crate::scene::Scene;

/// Keys that are missing where they are required, or are no keys.
pub fn wrong_keys(scene: &Scene) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.key != Key::Unused) {
        let mut refused = |what: &str, key: Option<&str>| {
            let mut call = scene.call(endpoint.method, &scene.path(endpoint.path), endpoint.caller);
            if let Some(key) = key {
                call = call.key(key);
            }
            if let Some(body) = endpoint.body {
                call = call.json(&body(scene));
            }
            wrongs.push(Wrong {
                what: format!("Idempotency-Key {what}"),
                call,
                statuses: &[400],
                codes: &[],
            });
        };
        if endpoint.key == Key::Required {
            refused("missing", None);
        }
        refused("empty", Some(""));
        refused("blank", Some("   "));
        refused("too long", Some(&"k".repeat(256)));
    }
    // A join's key stands for a visitor: one that could be guessed is refused.
    let call = scene.server.joining("line").key("1").json(&json!({}));
    wrongs.push(Wrong {
        what: "a join's key that can be guessed".into(),
        call,
        statuses: &[400],
        codes: &[],
    });
    wrongs
}

pub async fn a_charge_counts_once(scene: &Scene) {
    let before = balance(scene).await;
    let key = "k".repeat(255);
    let first = write(scene, "/v1/balance/charges", &key, &json!({ "amount_minor": 700 })).await;
    assert!((200..300).contains(&first.status), "{first:?}");
    let again = write(scene, "/v1/balance/charges", &key, &json!({ "amount_minor": 700 })).await;
    assert_eq!(
        (again.status, &again.json),
        (first.status, &first.json),
        "the same call again, the same answer"
    );
    let other = write(scene, "/v1/balance/charges", &key, &json!({ "amount_minor": 701 })).await;
    refused_as_another_body(&other);
    assert_eq!(balance(scene).await, before + 700, "it counted once");
}

pub async fn a_reservation_counts_once(scene: &Scene) {
    let key = fresh_key();
    let body = json!({ "performance_id": scene.performance, "seat_id": scene.free_seats[0] });
    let first = write(scene, "/v1/reservations", &key, &body).await.expect(201);
    let again = write(scene, "/v1/reservations", &key, &body).await.expect(201);
    assert_eq!(first.json, again.json, "the same call again, the same answer");
    let body = json!({ "performance_id": scene.performance, "seat_id": scene.free_seats[1] });
    refused_as_another_body(&write(scene, "/v1/reservations", &key, &body).await);
    let id = first.text_of("reservation_id");
    let released =
        scene.server.delete(&format!("/v1/reservations/{id}")).bearer(&scene.buyer_pass).send().await;
    assert!((200..300).contains(&released.status), "{released:?}");
}

pub async fn a_payment_counts_once(scene: &Scene) {
    let body = json!({ "performance_id": scene.performance, "seat_id": scene.free_seats[2] });
    let other = write(scene, "/v1/reservations", &fresh_key(), &body).await.expect(201);
    let before = balance(scene).await;
    let key = fresh_key();
    let body = json!({ "reservation_id": scene.reservation });
    let first = write(scene, "/v1/payments", &key, &body).await.expect(201);
    assert_eq!(first.json["state"], "completed");
    let after = balance(scene).await;
    assert!(after < before, "a payment takes money: {before} before, {after} after");
    // The pass is given back by now; repeating a call under its old key still answers.
    let again = write(scene, "/v1/payments", &key, &body).await;
    assert_eq!(
        (again.status, &again.json),
        (first.status, &first.json),
        "the same call again, the same answer"
    );
    let body = json!({ "reservation_id": other.json["reservation_id"] });
    refused_as_another_body(&write(scene, "/v1/payments", &key, &body).await);
    assert_eq!(balance(scene).await, after, "it counted once");
}

async fn write(scene: &Scene, path: &str, key: &str, body: &Value) -> Answer {
    scene.server.post(path).bearer(&scene.buyer_pass).key(key).json(body).send().await
}

async fn balance(scene: &Scene) -> i64 {
    scene
        .server
        .get("/v1/balance")
        .bearer(&scene.buyer_pass)
        .send()
        .await
        .expect(200)
        .number_of("amount_minor")
}

#[track_caller]
fn refused_as_another_body(answer: &Answer) {
    if let Err(fault) = answer.problem_fault(422, &[]) {
        panic!("another body under the same key: {fault}");
    }
}
