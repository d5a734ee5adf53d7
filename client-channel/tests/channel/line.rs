//! Waiting: the own place falls and never grows, a slow reader gets the newest, presence is told.

use kernel::control::Control;
use kernel::words::EndReason;
use serde_json::json;

use crate::scene::{Scene, config, eventually, policy};
use crate::visitor::Heard;

#[tokio::test]
async fn each_hears_the_own_place_fall() {
    let scene = Scene::new().await;
    scene.join(10).await;
    let (mut fourth, mut tenth) = (scene.connect(4).await, scene.connect(10).await);
    let Heard::Message(first) = tenth.hear().await else { panic!("closed") };
    let figures = ["position", "ahead", "waiting"].map(|name| first[name].as_u64());
    assert_eq!(figures, [Some(10), Some(9), Some(10)]);
    assert!(first["eta_low_seconds"].as_u64() <= first["eta_seconds"].as_u64(), "{first}");
    assert!(first["eta_seconds"].as_u64() <= first["eta_high_seconds"].as_u64(), "{first}");
    assert_eq!(fourth.until_position(4).await, [4]);
    for number in [2, 7, 3] {
        scene.depart(number, EndReason::Left).await;
    }
    scene.call(1).await;
    fourth.until_position(1).await;
    tenth.until_position(6).await;
}

#[tokio::test]
async fn a_reconnect_never_shows_a_higher_place() {
    let scene = Scene::new().await;
    scene.join(40).await;
    for gone in 1..40 {
        scene.depart(gone, EndReason::Left).await;
        // The store has just acknowledged; whatever node serves the visitor has to know it.
        let first = scene.connect(40).await.until("position").await;
        assert_eq!(first["position"], 40 - gone);
    }
}

#[tokio::test]
async fn before_the_opening_there_is_no_place() {
    let mut policy = policy();
    policy.opens_at = Some(kernel::words::Timestamp::from_millis(1_900_000_060_000));
    let scene = Scene::with(config(), policy).await;
    scene.join(3).await;
    let mut visitor = scene.connect(2).await;
    let expected = json!({"type": "prequeue", "opens_at": "2030-03-17T17:47:40Z", "waiting": 3});
    assert_eq!(visitor.hear().await, Heard::Message(expected));
    assert_eq!(visitor.hear().await, Heard::Message(json!({"type": "room", "state": "prequeue"})));
    scene.join(1).await;
    assert_eq!(visitor.until("prequeue").await["waiting"], 4);
    scene.control(Control::Prequeue, Control::Open).await;
    visitor.until_position(2).await;
}

#[tokio::test]
async fn the_rooms_news_come_at_once() {
    let mut slow = config();
    slow.tick = std::time::Duration::from_secs(3600);
    let scene = Scene::with(slow, policy()).await;
    scene.join(2).await;
    let mut visitor = scene.connect(1).await;
    visitor.until_position(1).await;
    scene.control(Control::Open, Control::Paused).await;
    assert_eq!(visitor.hear().await, Heard::Message(json!({"type": "room", "state": "paused"})));
    kernel::ports::RoomStore::notice(&scene.store, scene.room(), Some("soon".into()), scene.now())
        .await
        .unwrap();
    let news = json!({"type": "room", "state": "paused", "notice": "soon"});
    assert_eq!(visitor.hear().await, Heard::Message(news.clone()));
    let mut newcomer = scene.connect(2).await;
    newcomer.until_position(2).await;
    assert_eq!(newcomer.hear().await, Heard::Message(news));
    scene.control(Control::Paused, Control::Closed).await;
    let (last, code) = visitor.end().await;
    assert_eq!((last, code), (Some(json!({"type": "ended", "reason": "room_closed"})), 1000));
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_figures_and_every_call() {
    const DEPARTURES: u64 = 400;
    let mut fast = config();
    fast.tick = std::time::Duration::from_millis(1);
    let scene = Scene::with(fast, policy()).await;
    scene.join(DEPARTURES as usize + 2).await;
    let mut slow = scene.connect(DEPARTURES + 2).await;
    let mut quick = scene.connect(DEPARTURES + 2).await;
    for number in 1..=DEPARTURES {
        scene.depart(number, EndReason::Left).await;
        // The quick one proves that this figure was pushed; the slow one does not read.
        quick.until_position(DEPARTURES + 2 - number).await;
    }
    let heard = slow.until_position(2).await;
    assert!(heard.len() < DEPARTURES as usize, "{} figures waited for a slow reader", heard.len());
    scene.call(2).await;
    slow.until("admitted").await;
}

#[tokio::test]
async fn who_is_connected_is_present_and_who_is_silent_is_not() {
    let mut hasty = config();
    hasty.ping_every = std::time::Duration::from_millis(100);
    let mut policy = policy();
    policy.grace_seconds = 1;
    let scene = Scene::with(hasty, policy).await;
    scene.join(5).await;
    // Whoever reads answers pings.
    let [mut first, mut tab] = [scene.connect(1).await, scene.connect(1).await];
    let first = tokio::spawn(async move { first.end().await });
    let tab = tokio::spawn(async move { tab.end().await });
    let _dead = scene.connect(3).await;
    eventually("1 and 3 are present", || async { scene.present().await == [1, 3] }).await;
    eventually("the silent one is dropped", || async { scene.present().await == [1] }).await;
    assert!(!first.is_finished() && !tab.is_finished());
    first.abort();
    scene.connect(5).await.until_position(5).await;
    eventually("5 came", || async { scene.present().await.contains(&5) }).await;
    eventually("5 went, 1 is here by the other tab", || async { scene.present().await == [1] }).await;
    assert!(!tab.is_finished());
    tab.abort();
    eventually("nobody is left", || async { scene.present().await.is_empty() }).await;
}

#[tokio::test]
async fn nobody_hears_what_was_meant_for_whoever_had_the_descriptor_before() {
    const VISITORS: u64 = 60;
    let mut fast = config();
    fast.tick = std::time::Duration::from_millis(1);
    let scene = Scene::with(fast, policy()).await;
    scene.join(VISITORS as usize * 2).await;
    // While the line moves and everybody is told, each goes and somebody far behind takes the descriptor.
    let mut behind = Vec::new();
    for gone in 1..=VISITORS {
        let early = scene.connect(gone + 1).await;
        scene.depart(gone, EndReason::Left).await;
        drop(early);
        let mut late = scene.connect(VISITORS + gone).await;
        assert_eq!(late.until("position").await["position"], VISITORS, "somebody else's place");
        behind.push((late, gone));
    }
    // Somebody else's place, far ahead, would make the own one grow again.
    for (mut late, gone) in behind.into_iter().filter(|(_, gone)| *gone < VISITORS) {
        late.until_position(gone).await;
    }
}
