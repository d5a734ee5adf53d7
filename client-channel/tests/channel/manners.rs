//! What the channel refuses, what closes it and with which code, and how a process takes its leave.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::scene::{SOON, Scene, config, policy};

#[tokio::test]
async fn a_bad_ticket_is_refused_before_the_upgrade() {
    let scene = Scene::new().await;
    scene.join(1).await;
    let good = format!("ticket.{}", scene.ticket(1));
    let forged = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'Q' } else { 'A' });
    let elsewhere = format!("ticket.{}", scene.ticket_of_another_room());
    for (room, protocols, status, code) in [
        ("demo", vec!["turnline.v1", forged.as_str()], 401, "invalid_ticket"),
        ("demo", vec!["turnline.v1", &good[..good.len() - 4]], 401, "invalid_ticket"),
        ("demo", vec!["turnline.v1", elsewhere.as_str()], 401, "invalid_ticket"),
        ("demo", vec!["turnline.v1", "ticket."], 401, "invalid_ticket"),
        ("demo", vec!["turnline.v1"], 401, "invalid_ticket"),
        ("demo", vec![good.as_str()], 400, "subprotocol_required"),
        // A bad ticket is told first, whatever else is missing.
        ("demo", vec![forged.as_str()], 401, "invalid_ticket"),
        ("demo", vec![], 401, "invalid_ticket"),
        ("nobody", vec!["turnline.v1", good.as_str()], 404, "unknown_room"),
        ("No%20Room", vec!["turnline.v1", good.as_str()], 404, "unknown_room"),
        ("%FF", vec!["turnline.v1", good.as_str()], 404, "unknown_room"),
    ] {
        let refused = scene.try_connect(room, &protocols).await.err();
        assert_eq!(refused, Some((status, code.to_owned(), false)), "{room} {protocols:?}");
    }
    for (ticket, accept, status) in [
        (scene.ticket(1).as_str(), "*/*", 426),
        ("nonsense", "*/*", 401),
        ("nonsense", "text/event-stream", 401),
    ] {
        let answer = scene.get(ticket, accept).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    scene.connect(1).await.until_position(1).await;
}

#[tokio::test]
async fn a_wrong_message_closes_with_its_code_and_costs_nothing() {
    let scene = Scene::new().await;
    scene.join(1).await;
    let big = |bytes: usize| Message::text(format!(r#"{{"type":"{}"}}"#, "x".repeat(bytes)));
    for (message, code, error) in [
        (Message::text("hello"), 1008, "unknown_message"),
        (Message::text(""), 1008, "unknown_message"),
        (Message::text(r#"["leave"]"#), 1008, "unknown_message"),
        (Message::text(r#"{"type":"leave","why":"bored"}"#), 1008, "unknown_message"),
        (Message::binary(br#"{"type":"leave"}"#.to_vec()), 1008, "unknown_message"),
        (big(4080), 1008, "unknown_message"),
        (big(4096), 1009, "message_too_large"),
        (big(20_000), 1009, "message_too_large"),
        (big(1 << 20), 1009, "message_too_large"),
    ] {
        let mut visitor = scene.connect(1).await;
        let what = format!("{} bytes, {code}", message.len());
        visitor.send(message).await;
        let (last, closed) = visitor.end().await;
        assert_eq!((last, closed), (Some(json!({"type": "error", "code": error})), code), "{what}");
    }
    scene.connect(1).await.until_position(1).await;
}

#[tokio::test]
async fn beyond_the_limit_nobody_gets_in_until_somebody_goes() {
    let mut small = config();
    small.sockets_max = 1;
    let scene = Scene::with(small, policy()).await;
    scene.join(1).await;
    let mut held = scene.connect(1).await;
    held.until_position(1).await;
    let ticket = format!("ticket.{}", scene.ticket(1));
    let refused = scene.try_connect("demo", &["turnline.v1", &ticket]).await.err();
    assert_eq!(refused, Some((503, "channel_full".to_owned(), true)));
    held.send(Message::Close(None)).await;
    held.end().await;
    crate::scene::eventually("the place is free", || async {
        scene.try_connect("demo", &["turnline.v1", &ticket]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_stopping_process_sends_everybody_elsewhere() {
    let mut patient = config();
    patient.drain = SOON;
    patient.sockets_max = usize::MAX;
    let scene = Scene::with(patient, policy()).await;
    scene.join(2).await;
    let (mut socket, mut stream) = (scene.connect(1).await, scene.stream(2).await);
    socket.until_position(1).await;
    stream.next().await.unwrap();
    scene.stop.cancel();
    assert_eq!(socket.end().await, (None, 1012));
    assert_eq!(stream.next().await, None);
    let ticket = format!("ticket.{}", scene.ticket(1));
    let refused = scene.try_connect("demo", &["turnline.v1", &ticket]).await.err();
    assert_eq!(refused, Some((503, "draining".to_owned(), true)));
    drop((socket, stream));
    // It ends because everybody went, long before it would have cut them off.
    assert!(tokio::time::timeout(Duration::from_secs(5), scene.running).await.is_ok());
}

#[tokio::test]
async fn a_storm_is_taken_in_at_a_bounded_rate_and_told_when_to_come_again() {
    let mut slow = config();
    slow.handshakes_per_second = 10;
    let scene = Scene::with(slow, policy()).await;
    scene.join(100).await;
    let (mut inside, mut refused) = (Vec::new(), 0);
    for number in 1..=100 {
        let ticket = format!("ticket.{}", scene.ticket(number));
        match scene.try_connect("demo", &["turnline.v1", &ticket]).await {
            Ok(visitor) => inside.push((visitor, number)),
            Err(refusal) => {
                assert_eq!(refusal, (503, "channel_busy".to_owned(), true));
                refused += 1;
            }
        }
    }
    assert!(inside.len() >= 10 && refused >= 10, "{} of 100 were taken in at once", inside.len());
    for (mut visitor, number) in inside {
        visitor.until_position(number).await;
    }
}

#[tokio::test]
async fn an_address_holds_no_more_channels_than_it_may() {
    let mut strict = config();
    strict.sockets_per_address = Some(2);
    let scene = Scene::with(strict, policy()).await;
    scene.join(3).await;
    let (first, _second) = (scene.connect(1).await, scene.connect(2).await);
    let ticket = format!("ticket.{}", scene.ticket(3));
    let refused = scene.try_connect("demo", &["turnline.v1", &ticket]).await.err();
    assert_eq!(refused, Some((429, "too_many_channels".to_owned(), true)));
    drop(first);
    crate::scene::eventually("there is room again", || async {
        scene.try_connect("demo", &["turnline.v1", &ticket]).await.is_ok()
    })
    .await;
}
