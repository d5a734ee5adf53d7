//! Being there: a lost connection costs nothing within the grace, and the place after it.

use serde_json::json;
use turnline_tests::{SOON, Server, eventually};

#[tokio::test]
async fn who_is_gone_longer_than_the_grace_leaves_the_line_and_who_returns_stays() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "grace_seconds": 2 })).await;
    let _insider = server.admitted("r").await;
    let (returns, gone, watcher) = (server.join("r").await, server.join("r").await, server.join("r").await);
    let mut of_watcher = server.open(&watcher).await;
    for visitor in [&returns, &gone] {
        let mut channel = server.open(visitor).await;
        channel.until("position").await;
        channel.close().await;
    }
    let mut of_returns = server.open(&returns).await;
    assert_eq!(of_returns.until("position").await["position"], 1);
    let listening = tokio::spawn(async move { of_returns.until("admitted").await });
    // Only one of the two ahead leaves.
    of_watcher.until_that("position 2", |message| message["position"] == 2).await;
    assert_eq!(server.status(&gone).await.json["state"], "ended");
    let status = server.status(&returns).await;
    assert_eq!(
        (&status.json["state"], &status.json["position"]),
        (&json!("waiting"), &json!(1)),
        "{}",
        status.text
    );
    listening.abort();
}

#[tokio::test]
async fn asking_for_the_status_is_being_there() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "grace_seconds": 2 })).await;
    let _insider = server.admitted("r").await;
    let (polls, silent) = (server.join("r").await, server.join("r").await);
    let watcher = server.join("r").await;
    eventually("the silent one has left", SOON, async || {
        assert_eq!(server.status(&polls).await.json["state"], "waiting", "polling kept no place");
        let place = server.status(&watcher).await;
        (place.json["position"] == 2).then_some(())
    })
    .await;
    assert_eq!(server.status(&silent).await.json["state"], "ended");
    assert_eq!(server.status(&polls).await.number_of("position"), 1);
}

#[tokio::test]
async fn two_tabs_are_both_served_and_one_is_enough_to_be_there() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "grace_seconds": 2 })).await;
    let (insider, _) = server.admitted("r").await;
    let (visitor, gone, watcher) = (server.join("r").await, server.join("r").await, server.join("r").await);
    let mut of_watcher = server.open(&watcher).await;
    let (mut left, mut right) = (server.open(&visitor).await, server.open(&visitor).await);
    assert_eq!(left.until("position").await["position"], 1);
    assert_eq!(right.until("position").await["position"], 1);
    left.close().await;
    let listening = tokio::spawn(async move { right.until("admitted").await });
    // Once the one who never came has left, a grace has passed for the closed tab as well.
    of_watcher.until_that("position 2", |message| message["position"] == 2).await;
    assert_eq!(server.status(&gone).await.json["state"], "ended");
    let mut third = server.open(&visitor).await;
    assert_eq!(third.until("position").await["position"], 1);
    server.leave(&insider).await.expect(204);
    third.until("admitted").await;
    assert!(listening.await.expect("the other tab")["pass"].is_string());
}

#[tokio::test]
async fn server_sent_events_bring_the_same_messages() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({ "grace_seconds": 2 })).await;
    let (insider, _) = server.admitted("r").await;
    let visitor = server.join("r").await;
    let mut stream = server.event_stream("r", &visitor.ticket).await;
    let place = stream.until("position").await;
    assert_eq!((&place["position"], &place["ahead"]), (&json!(1), &json!(0)), "{place}");
    server.leave(&insider).await.expect(204);
    let admitted = stream.until("admitted").await;
    assert!(admitted["pass"].is_string(), "{admitted}");
    server.leave(&visitor).await.expect(204);
    assert_eq!(stream.until("ended").await["reason"], "left");
}
