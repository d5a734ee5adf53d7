//! The server goes and comes back: told to, or killed. Nobody loses anything.

use serde_json::json;
use turnline_tests::{Server, fresh_key};

#[tokio::test]
async fn a_drain_tells_the_sockets_to_come_again_and_loses_nothing() {
    let mut server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (insider, pass) = server.admitted("r").await;
    let waiter = server.join("r").await;
    let mut channel = server.open(&waiter).await;
    channel.until("position").await;
    server.signal_term();
    assert_eq!(channel.closed().await, 1012, "a socket is told to reconnect");
    assert!(server.wait_for_exit().await.success(), "a drain ends well");
    server.restart().await;
    assert_eq!(server.open(&waiter).await.until("position").await["position"], 1);
    assert_eq!(server.status(&insider).await.json["state"], "active");
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(204);
    server.leave(&insider).await.expect(204);
    server.until_state(&waiter, "active").await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_every_place() {
    let mut server = Server::start(&[]).await;
    server.room("r", &json!({ "capacity": 2 })).await;
    let (insider, pass) = server.admitted("r").await;
    let (leaver, _) = server.admitted("r").await;
    let key = fresh_key();
    let joined = server.joining("r").key(&key).json(&json!({})).send().await.expect(201);
    let keyed = server.visitor("r", &joined);
    server.until_state(&keyed, "waiting").await;
    let mut waiters = Vec::new();
    for _ in 0..20 {
        waiters.push(server.join("r").await);
    }
    server.leave(&waiters[3]).await.expect(204);
    server.kill_9().await;
    server.restart().await;
    // The same tickets, the same places, the same pass.
    assert_eq!(server.status(&waiters[0]).await.number_of("position"), 2);
    assert_eq!(server.status(&waiters[3]).await.json["reason"], "left");
    assert_eq!(server.status(&waiters[19]).await.number_of("position"), 20);
    server.get("/v1/authorize?room=r").bearer(&pass).send().await.expect(204);
    let again = server.joining("r").key(&key).json(&json!({})).send().await.expect(200);
    assert_eq!(again.text_of("ticket"), keyed.ticket, "the same key, the same ticket");
    assert_eq!(server.join("r").await.number, 24, "no number is used twice, none is skipped");
    server.leave(&leaver).await.expect(204);
    server.until_state(&keyed, "active").await;
    assert_eq!(server.status(&insider).await.json["state"], "active");
}
