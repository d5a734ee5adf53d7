//! Wrong credentials: each endpoint with a ticket, pass or admin token that is missing, forged,
//! cut short, of another kind, of another room, expired, or of another installation.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use turnline_tests::room::unix_now;
use turnline_tests::{Call, SOON, eventually, fresh_key};

use crate::Wrong;
use crate::endpoints::{Caller, ENDPOINTS, Endpoint, Key};
use crate::scene::Scene;

/// Every endpoint that asks who calls, with every wrong answer.
/// `foreign` is another installation: its credentials are genuine there, and nothing here.
pub async fn all(scene: &Scene, foreign: &Scene) -> Vec<Wrong> {
    let tickets = bad_tickets(scene, foreign).await;
    let passes = bad_passes(scene, foreign).await;
    let admins = bad_admin_tokens(scene, foreign);
    let mut wrongs = Vec::new();
    for endpoint in ENDPOINTS {
        let bad = match endpoint.caller {
            Caller::Anyone => continue,
            Caller::Ticket => &tickets,
            Caller::Pass => &passes,
            Caller::Admin => &admins,
        };
        for (what, header) in bad {
            let mut call = correct_but_for_the_caller(scene, endpoint);
            if let Some(header) = header {
                call = call.header("authorization", header);
            }
            wrongs.push(Wrong { what: (*what).to_owned(), call, statuses: &[401], codes: &[] });
        }
        // Who may not call learns nothing of what the call wants.
        let call =
            scene.server.call(endpoint.method, &scene.path(endpoint.path)).json(&json!({ "surprise": 1 }));
        let call = if endpoint.method == "GET" { None } else { Some(call) };
        wrongs.extend(call.map(|call| Wrong {
            what: "no credential and a wrong body".into(),
            call,
            statuses: &[401],
            codes: &[],
        }));
    }
    wrongs.extend(wrong_room(scene));
    wrongs.extend(authorize(scene, &passes));
    wrongs
}

type Bad = Vec<(&'static str, Option<String>)>;

async fn bad_tickets(scene: &Scene, foreign: &Scene) -> Bad {
    let good = &scene.waiter.ticket;
    scene.server.room("elsewhere", &json!({})).await;
    let other_room = scene.server.join("elsewhere").await.ticket;
    let mut bad = not_even_close(good);
    bad.push(("the ticket of another room", bearer(&other_room)));
    bad.push(("the ticket of another installation", bearer(&foreign.waiter.ticket)));
    bad.push(("a pass instead of a ticket", bearer(&scene.insider_pass)));
    bad.push(("the admin token instead of a ticket", bearer(scene.server.admin_token())));
    bad
}

async fn bad_passes(scene: &Scene, foreign: &Scene) -> Bad {
    let good = &scene.buyer_pass;
    let mut bad = not_even_close(good);
    bad.push(("the pass of another installation", bearer(&foreign.buyer_pass)));
    bad.push(("a ticket instead of a pass", bearer(&scene.buyer.ticket)));
    bad.push(("the admin token instead of a pass", bearer(scene.server.admin_token())));
    bad.push(("an expired pass", bearer(&expired_pass(scene).await)));
    bad.push(("a pass signed with a guessed secret", bearer(&hs256_pass("secret"))));
    bad.push(("a pass signed with nothing", bearer(&unsigned_pass(good))));
    bad
}

fn bad_admin_tokens(scene: &Scene, foreign: &Scene) -> Bad {
    let mut bad = not_even_close(scene.server.admin_token());
    bad.push(("the admin token of another installation", bearer(foreign.server.admin_token())));
    bad.push(("a ticket instead of the admin token", bearer(&scene.waiter.ticket)));
    bad.push(("a pass instead of the admin token", bearer(&scene.buyer_pass)));
    bad
}

/// Wrong whatever kind of credential is asked for.
fn not_even_close(good: &str) -> Bad {
    let middle = good.len() / 2;
    let other = if good.as_bytes()[middle] == b'a' { "b" } else { "a" };
    let forged = format!("{}{other}{}", &good[..middle], &good[middle + 1..]);
    vec![
        ("no credential", None),
        ("an empty credential", Some("Bearer ".into())),
        ("no scheme", Some(good.to_owned())),
        ("another scheme", Some(format!("Basic {good}"))),
        ("one letter changed", bearer(&forged)),
        ("cut short by one", bearer(&good[..good.len() - 1])),
        ("cut in half", bearer(&good[..middle])),
        ("one letter more", bearer(&format!("{good}A"))),
        ("nonsense", bearer("nonsense")),
        ("dots", bearer("...")),
        ("far too long", bearer(&"a".repeat(6_000))),
    ]
}

/// The pass of one room shows nothing in another, and holds no seat of its concert.
fn wrong_room(scene: &Scene) -> Vec<Wrong> {
    let body = json!({ "performance_id": scene.performance, "seat_id": scene.free_seats[0] });
    let call = scene.server.post("/v1/reservations").bearer(&scene.insider_pass).json(&body);
    vec![Wrong { what: "the pass of another room".into(), call, statuses: &[403], codes: &["wrong_room"] }]
}

/// `/v1/authorize` with each bad pass, in the header and in the cookie.
fn authorize(scene: &Scene, passes: &Bad) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    for (what, header) in passes {
        let path = "/v1/authorize?room=demo";
        let mut call = scene.server.get(path);
        if let Some(header) = header {
            call = call.header("authorization", header);
        }
        wrongs.push(Wrong { what: format!("authorize with {what}"), call, statuses: &[401], codes: &[] });
        let cookie = header.as_deref().unwrap_or_default().trim_start_matches("Bearer ");
        // A cookie needs no scheme: there, "no scheme" is the good pass.
        if *what != "no scheme" {
            let call = scene.server.get(path).header("cookie", &format!("turnline_pass={cookie}"));
            wrongs.push(Wrong {
                what: format!("authorize by cookie with {what}"),
                call,
                statuses: &[401],
                codes: &[],
            });
        }
    }
    let call = scene.server.get("/v1/authorize?room=demo").bearer(&scene.insider_pass);
    wrongs.push(Wrong { what: "authorize for another room".into(), call, statuses: &[401, 403], codes: &[] });
    wrongs
}

fn correct_but_for_the_caller(scene: &Scene, endpoint: &Endpoint) -> Call {
    let mut call = scene.server.call(endpoint.method, &scene.path(endpoint.path));
    if endpoint.key == Key::Required {
        call = call.key(&fresh_key());
    }
    match endpoint.body {
        Some(body) => call.json(&body(scene)),
        None => call,
    }
}

fn bearer(token: &str) -> Option<String> {
    Some(format!("Bearer {token}"))
}

/// A genuine pass whose time is over.
async fn expired_pass(scene: &Scene) -> String {
    scene.server.room("brief", &json!({ "active_seconds": 1, "max_session_seconds": 1 })).await;
    let (_, pass) = scene.server.admitted("brief").await;
    eventually("the pass expires", SOON, async || {
        let answer = scene.server.get("/v1/balance").bearer(&pass).send().await;
        (answer.status == 401).then_some(())
    })
    .await;
    pass
}

/// A pass in every respect but its signature's kind.
fn hs256_pass(secret: &str) -> String {
    let now = unix_now();
    let claims = json!({
        "iss": "turnline", "aud": "demo", "sub": "t:1", "num": 1, "iat": now, "exp": now + 600, "jti": "x",
    });
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .expect("a token")
}

/// The claims of a good pass under `"alg":"none"`.
fn unsigned_pass(good: &str) -> String {
    let claims = good.split('.').nth(1).expect("a JWT has three parts");
    // {"alg":"none","typ":"JWT"}
    format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
}
