//! The channel: a bad ticket is refused before the upgrade, a bad message closes, and neither costs
//! the visitor anything.

use serde_json::json;
use turnline_tests::{Channel, Server};

use crate::scene::Scene;

pub async fn refused_before_the_upgrade(scene: &Scene) {
    let (server, good) = (&scene.server, format!("ticket.{}", scene.waiter.ticket));
    let forged = format!("{}A", &good[..good.len() - 1]);
    let forged = if forged == good { format!("{}B", &good[..good.len() - 1]) } else { forged };
    let cut = &good[..good.len() - 4];
    let elsewhere = format!("ticket.{}", scene.buyer.ticket);
    for (what, protocols, statuses) in [
        ("a forged ticket", vec!["turnline.v1", &forged], &[401][..]),
        ("a ticket cut short", vec!["turnline.v1", cut], &[401]),
        ("nonsense for a ticket", vec!["turnline.v1", "ticket.nonsense"], &[401]),
        ("the ticket of another room", vec!["turnline.v1", &elsewhere], &[401]),
        ("an empty ticket", vec!["turnline.v1", "ticket."], &[401]),
        ("no ticket", vec!["turnline.v1"], &[401]),
        ("no subprotocol at all", vec![], &[400, 401]),
        ("not our subprotocol", vec!["turnline.v9", &good], &[400]),
        ("only a ticket", vec![&good], &[400]),
    ] {
        match server.try_channel("line", &protocols).await {
            Ok(_) => panic!("{what} was let in"),
            Err(status) => assert!(statuses.contains(&status), "{what}: {status}, expected {statuses:?}"),
        }
    }
    let unknown = server.try_channel("nobody", &["turnline.v1", &good]).await.err();
    assert!(matches!(unknown, Some(404 | 401)), "an unknown room: {unknown:?}");
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        let refused = server.try_socket("/v1/admin/rooms/line/channel", &[], headers).await.err();
        assert_eq!(refused, Some(401), "the operator's channel with {headers:?}");
    }
    let plain = server.get("/v1/rooms/line/channel").bearer(&scene.waiter.ticket).send().await;
    assert!((400..500).contains(&plain.status), "neither a WebSocket nor an event stream: {}", plain.status);
    let stream = server.get("/v1/rooms/line/channel").header("accept", "text/event-stream");
    stream.bearer("nonsense").send().await.expect(401);
}

pub async fn closed_on_a_wrong_message(scene: &Scene) {
    for (what, text, code) in [
        ("an unknown type", json!({ "type": "hello" }).to_string(), 1008),
        ("no type", "{}".to_owned(), 1008),
        ("no JSON", "leave".to_owned(), 1008),
        ("nothing", String::new(), 1008),
        ("a list", "[\"leave\"]".to_owned(), 1008),
        ("a field that is not there", json!({ "type": "leave", "why": "bored" }).to_string(), 1008),
        ("a server's message", json!({ "type": "admitted" }).to_string(), 1008),
        ("5 KiB", json!({ "type": "leave", "why": "x".repeat(5_000) }).to_string(), 1009),
    ] {
        let mut channel = connected(&scene.server, scene).await;
        channel.send_text(&text).await;
        assert_eq!(channel.closed().await, code, "{what}");
    }
    let mut channel = connected(&scene.server, scene).await;
    channel.send_binary(b"{\"type\":\"leave\"}".to_vec()).await;
    assert_eq!(channel.closed().await, 1008, "a binary message");
    let mut channel = connected(&scene.server, scene).await;
    channel.send_text(&"x".repeat(1 << 20)).await;
    // Most of it is never read, so the close may be lost to the reset of the connection.
    assert!(matches!(channel.closed().await, 1009 | 1006), "1 MiB");
    // Afterwards the same ticket opens the same place.
    connected(&scene.server, scene).await.close().await;
}

/// The waiter's channel, once it has told the place.
async fn connected(server: &Server, scene: &Scene) -> Channel {
    let mut channel = server.open(&scene.waiter).await;
    assert_eq!(channel.until("position").await["position"], 1);
    channel
}
