//! The pass: anybody can verify it, it opens its room only, and it ends with its slot.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use turnline_tests::Server;

#[tokio::test]
async fn a_reverse_proxy_lets_in_while_the_slot_lasts() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    server.room("other", &json!({})).await;
    let (visitor, pass) = server.admitted("r").await;
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(204);
    let cookie = format!("a=b; turnline_pass={pass}; c=d");
    server.get("/v1/authorize?room=r").header("cookie", &cookie).send().await.expect(204);
    server.get("/v1/authorize?room=r").send().await.expect(401);
    let elsewhere = server.get("/v1/authorize?room=other").bearer(&pass).send().await;
    assert!(matches!(elsewhere.status, 401 | 403), "{}", elsewhere.status);
    server.leave(&visitor).await.expect(204);
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(401);
}

#[tokio::test]
async fn anybody_can_verify_a_pass_offline() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (visitor, pass) = server.admitted("r").await;
    let keys = server.get("/.well-known/jwks.json").send().await.expect(200);
    let key = &keys.json["keys"][0];
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")), "{}", keys.text);
    let header = jsonwebtoken::decode_header(&pass).expect("the header of a JWT");
    assert_eq!(header.alg, Algorithm::EdDSA);
    assert_eq!(header.kid.as_deref(), key["kid"].as_str(), "the pass names its key");
    let key = DecodingKey::from_ed_components(key["x"].as_str().expect("x")).expect("a public key");
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["r"]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    let claims = jsonwebtoken::decode::<Value>(&pass, &key, &validation).expect("a genuine pass").claims;
    assert_eq!(claims["num"], visitor.number, "{claims}");
    assert!(claims["sub"].as_str().is_some_and(|sub| sub.starts_with("t:")), "{claims}");
    assert!(claims["iat"].as_i64() < claims["exp"].as_i64() && claims["jti"].is_string(), "{claims}");
    validation.set_audience(&["other"]);
    assert!(jsonwebtoken::decode::<Value>(&pass, &key, &validation).is_err(), "the audience is the room");
}
