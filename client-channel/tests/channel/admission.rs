//! Being let in: the pass, the claim, more time, the end of it.

use kernel::room::Standing;
use kernel::session::Session;
use kernel::words::{EndReason, Timestamp};
use serde_json::{Value, json};

use crate::scene::{Scene, config, eventually, policy};
use crate::visitor::Heard;

fn until(message: &Value) -> Timestamp {
    Timestamp::parse(message["expires_at"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn the_called_get_a_pass_and_a_pong_is_the_claim() {
    let mut slow = config();
    slow.tick = std::time::Duration::from_secs(3600);
    let scene = Scene::with(slow, policy()).await;
    scene.join(2).await;
    let (mut first, mut silent) = (scene.connect(1).await, scene.connect(2).await);
    first.until_position(1).await;
    silent.until_position(2).await;
    scene.call(2).await;
    // No tick is near: this comes by itself.
    let admitted = first.until("admitted").await;
    assert_eq!(admitted["go_to"], "/book/1");
    assert_eq!(until(&admitted), scene.now().plus_seconds(300));
    let pass = scene.passes.verify(admitted["pass"].as_str().unwrap(), scene.now()).unwrap();
    assert_eq!((pass.num, pass.aud.as_str(), &pass.sub[..2]), (1, "demo", "t:"));
    assert_eq!(pass.exp, scene.now().plus_seconds(300).as_seconds());
    // Reading on answers the ping.
    let claimed =
        eventually("the claim", || async { matches!(scene.session(1).await, Some(Session::Active { .. })) });
    tokio::select! {
        end = first.end() => panic!("the channel ended: {end:?}"),
        () = claimed => {}
    }
    assert!(matches!(scene.session(2).await, Some(Session::Called { .. })), "a silent visitor claimed");
}

#[tokio::test]
async fn a_pong_nobody_asked_for_claims_nothing() {
    let scene = Scene::new().await;
    scene.join(1).await;
    let mut visitor = scene.connect(1).await;
    visitor.until_position(1).await;
    for forged in [vec![], 9u32.to_be_bytes().to_vec(), 0u32.to_be_bytes().to_vec()] {
        visitor.send(tokio_tungstenite::tungstenite::Message::Pong(forged.into())).await;
    }
    scene.call(1).await;
    // The pongs were sent before the call and must have been read before the news of it was acted upon.
    eventually("called", || async { matches!(scene.session(1).await, Some(Session::Called { .. })) }).await;
    scene.end(1, EndReason::NoShow).await;
    assert_eq!(visitor.end().await, (Some(json!({"type": "ended", "reason": "no_show"})), 1000));
}

#[tokio::test]
async fn every_tab_hears_and_a_reload_gets_the_pass_again() {
    let scene = Scene::new().await;
    scene.join(1).await;
    let (mut one, mut other) = (scene.connect(1).await, scene.connect(1).await);
    one.until_position(1).await;
    other.until_position(1).await;
    scene.call(1).await;
    one.until("admitted").await;
    other.until("admitted").await;
    let mut third = scene.connect(1).await;
    let again = third.until("admitted").await;
    assert!(scene.passes.verify(again["pass"].as_str().unwrap(), scene.now()).is_ok());
    scene.end(1, EndReason::Paid).await;
    for tab in [&mut one, &mut other, &mut third] {
        assert_eq!(tab.end().await, (Some(json!({"type": "ended", "reason": "paid"})), 1000));
    }
    let mut late = scene.connect(1).await;
    assert_eq!(late.end().await, (Some(json!({"type": "ended", "reason": "paid"})), 1000));
}

#[tokio::test]
async fn more_time_is_told_to_every_tab_once() {
    let scene = Scene::new().await;
    scene.join(1).await;
    let (mut one, mut other) = (scene.connect(1).await, scene.connect(1).await);
    scene.call(1).await;
    one.say(r#"{"type":"renew"}"#).await;
    let first = one.until("admitted").await;
    other.until("admitted").await;
    eventually("the claim", || async { matches!(scene.session(1).await, Some(Session::Active { .. })) })
        .await;
    scene.pass_seconds(250);
    assert_eq!(one.until("expiring").await, json!({"type": "expiring", "seconds": 50}));
    one.say(r#"{"type":"renew"}"#).await;
    let renewed = one.until("admitted").await;
    assert_eq!(until(&renewed), until(&first).plus_seconds(250));
    assert_eq!(until(&other.until("admitted").await), until(&renewed));
    // Too late: no answer, and the end comes when it comes.
    scene.pass_seconds(400);
    one.say(r#"{"type":"renew"}"#).await;
    scene.end(1, EndReason::Expired).await;
    assert_eq!(one.end().await, (Some(json!({"type": "ended", "reason": "expired"})), 1000));
}

#[tokio::test]
async fn who_only_waits_has_nothing_to_renew() {
    let scene = Scene::new().await;
    scene.join(1).await;
    let mut visitor = scene.connect(1).await;
    visitor.say(r#"{"type":"renew"}"#).await;
    assert_eq!(visitor.end().await, (Some(json!({"type": "error", "code": "not_admitted"})), 1008));
    assert!(matches!(scene.standing(1).await, Standing::Waiting(_)));
}

#[tokio::test]
async fn leaving_gives_the_place_or_the_slot_back() {
    let scene = Scene::new().await;
    scene.join(2).await;
    let left = json!({"type": "ended", "reason": "left"});
    let (mut waiting, mut tab) = (scene.connect(2).await, scene.connect(2).await);
    waiting.say(r#"{"type":"leave"}"#).await;
    assert_eq!(waiting.end().await, (Some(left.clone()), 1000));
    assert_eq!(tab.end().await, (Some(left.clone()), 1000));
    let mut inside = scene.connect(1).await;
    scene.call(1).await;
    inside.until("admitted").await;
    inside.say(r#"{"type":"leave"}"#).await;
    assert_eq!(inside.end().await, (Some(left), 1000));
    for number in [1, 2] {
        assert_eq!(scene.standing(number).await, Standing::Ended(EndReason::Left));
    }
}

#[tokio::test]
async fn a_stream_tells_the_same() {
    let scene = Scene::new().await;
    scene.join(2).await;
    let mut stream = scene.stream(2).await;
    assert_eq!(stream.next().await.unwrap()["position"], 2);
    scene.call(2).await;
    let admitted = stream.until("admitted").await;
    assert!(scene.passes.verify(admitted["pass"].as_str().unwrap(), scene.now()).is_ok());
    eventually("the claim", || async { matches!(scene.session(2).await, Some(Session::Active { .. })) })
        .await;
    scene.end(2, EndReason::Paid).await;
    assert_eq!(stream.until("ended").await["reason"], "paid");
    assert_eq!(stream.next().await, None);
    let mut late = scene.stream(2).await;
    assert_eq!(late.next().await, Some(json!({"type": "ended", "reason": "paid"})));
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn the_stream_of_one_and_the_socket_of_another_meet_in_one_line() {
    let scene = Scene::new().await;
    scene.join(3).await;
    let (mut stream, mut socket) = (scene.stream(3).await, scene.connect(3).await);
    assert!(matches!(socket.hear().await, Heard::Message(first) if first["position"] == 3));
    assert_eq!(stream.next().await.unwrap()["position"], 3);
    scene.depart(1, EndReason::Left).await;
    socket.until_position(2).await;
    while stream.until("position").await["position"] != 2 {}
}
