//! Rooms that know their visitors: one place a `sub`, and lanes only for those they were granted to.

use serde_json::json;
use turnline_tests::{Answer, Server, fresh_key, visitor_token};

const KEY: &str = "a-key-the-shop-shares-with-the-room-0123456789";

#[tokio::test]
async fn a_visitor_has_one_place_whatever_device_asks() {
    let server = room_with_key().await;
    let _insider = join(&server, &visitor_token(KEY, "insider", 600, None)).await.expect(201);
    let ann = join(&server, &visitor_token(KEY, "ann", 600, None)).await.expect(201);
    let again = join(&server, &visitor_token(KEY, "ann", 900, None)).await.expect(200);
    assert_eq!(again.text_of("ticket"), ann.text_of("ticket"));
    let bob = join(&server, &visitor_token(KEY, "bob", 600, None)).await.expect(201);
    assert_ne!(bob.number_of("number"), ann.number_of("number"));
}

#[tokio::test]
async fn nobody_gets_a_place_by_naming_somebody_else() {
    let server = room_with_key().await;
    let ann = join(&server, &visitor_token(KEY, "ann", 600, None)).await.expect(201);
    let bobs_token = visitor_token(KEY, "bob", 600, None);
    let body = json!({ "visitor_token": bobs_token });
    let with_anns_ticket = server.joining("known").bearer(&ann.text_of("ticket")).json(&body).send().await;
    with_anns_ticket.expect_problem(409, "identity_conflict");
    server.joining("known").json(&json!({})).send().await.expect_problem(401, "visitor_token_required");
    for (what, token) in [
        ("another key", visitor_token("a-key-somebody-guessed-0123456789-0123456789", "ann", 600, None)),
        ("a time that is over", visitor_token(KEY, "ann", -600, None)),
        ("no visitor", visitor_token(KEY, "", 600, None)),
        ("a name too long", visitor_token(KEY, &"a".repeat(129), 600, None)),
        ("no token", "nonsense".to_owned()),
    ] {
        let answer = join(&server, &token).await;
        assert!(matches!(answer.status, 400 | 401), "{what}: {} {}", answer.status, answer.text);
        if let Err(fault) = answer.problem_fault(answer.status, &[]) {
            panic!("{what}: {fault}");
        }
    }
    join(&server, &visitor_token(KEY, &"a".repeat(128), 600, None)).await.expect(201);
}

#[tokio::test]
async fn an_idempotency_key_counts_within_one_visitor() {
    let server = room_with_key().await;
    let key = fresh_key();
    let join = async |sub: &str| {
        let body = json!({ "visitor_token": visitor_token(KEY, sub, 600, None) });
        server.joining("known").key(&key).json(&body).send().await
    };
    let ann = join("ann").await.expect(201);
    let bob = join("bob").await;
    // Either bob has a place of his own, or he is told of the conflict: never ann's ticket.
    assert!(matches!(bob.status, 201 | 409), "{}", bob.text);
    assert!(!bob.text.contains(&ann.text_of("ticket")), "{}", bob.text);
    assert_eq!(join("ann").await.expect(200).text_of("ticket"), ann.text_of("ticket"));
}

#[tokio::test]
async fn a_lane_is_for_those_it_was_granted_to() {
    let server = Server::start(&[]).await;
    let lanes = json!([{ "name": "default", "weight": 1 }, { "name": "members", "weight": 3 }]);
    server.room("known", &json!({ "lanes": lanes, "visitor_key": KEY })).await;
    let insider = join(&server, &visitor_token(KEY, "insider", 600, None)).await.expect(201);
    let insider = server.visitor("known", &insider);
    server.until_state(&insider, "active").await;
    let claimed = json!({ "visitor_token": visitor_token(KEY, "ann", 600, None), "lane": "members" });
    server.joining("known").json(&claimed).send().await.expect_problem(403, "lane_forbidden");
    let plain = join(&server, &visitor_token(KEY, "bob", 600, None)).await.expect(201);
    let granted =
        json!({ "visitor_token": visitor_token(KEY, "carol", 600, Some("members")), "lane": "members" });
    let member = server.joining("known").json(&granted).send().await.expect(201);
    let (plain, member) = (server.visitor("known", &plain), server.visitor("known", &member));
    let (mut of_plain, mut of_member) = (server.open(&plain).await, server.open(&member).await);
    // Whatever the order between the lanes, both are called in the end.
    server.leave(&insider).await.expect(204);
    let order = tokio::select! {
        _ = of_plain.until("admitted") => [&plain, &member],
        _ = of_member.until("admitted") => [&member, &plain],
    };
    server.leave(order[0]).await.expect(204);
    server.until_state(order[1], "active").await;
}

#[tokio::test]
async fn an_anonymous_room_refuses_a_token_and_a_lane() {
    let server = Server::start(&[]).await;
    server.room("known", &json!({ "lanes": [{ "name": "members", "weight": 3 }] })).await;
    let answer = join(&server, &visitor_token(KEY, "ann", 600, None)).await;
    assert!(answer.problem_fault(400, &[]).is_ok(), "{}", answer.text);
    let body = json!({ "lane": "members" });
    server.joining("known").json(&body).send().await.expect_problem(403, "lane_forbidden");
}

#[tokio::test]
async fn the_key_is_kept_by_a_later_put_and_removed_by_null() {
    let server = room_with_key().await;
    let rooms = server.admin("GET", "/rooms").send().await.expect(200);
    assert!(!rooms.text.contains(KEY), "the key was read back");
    server.room("known", &json!({ "capacity": 3 })).await;
    server.joining("known").json(&json!({})).send().await.expect_problem(401, "visitor_token_required");
    let mut policy = turnline_tests::room::policy(&json!({}));
    policy["visitor_key"] = serde_json::Value::Null;
    let answer = server.admin("PUT", "/rooms/known").json(&policy).send().await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    server.join("known").await;
}

async fn room_with_key() -> Server {
    let server = Server::start(&[]).await;
    server.room("known", &json!({ "visitor_key": KEY })).await;
    server
}

async fn join(server: &Server, token: &str) -> Answer {
    server.joining("known").json(&json!({ "visitor_token": token })).send().await
}
