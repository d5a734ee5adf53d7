//! What nobody can read: it is set aside as it was, and what is behind it is delivered.

use std::time::Instant;

use backend::cluster::kafka::KafkaLog;
use kernel::contract::log::{departed, hear, ids, paid, subscription};
use kernel::event::Topic;
use kernel::ports::{DeadLetter, DeadLetters, EventLog, Replay, StartAt};
use kernel::words::RoomId;
use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};

use crate::scene::{DEADLINE, Scene};

const GOOD: &[u8] = br#"{"room":"demo","seq":1,"at":"2023-11-14T22:13:20Z","type":"WaitingTokensDeparted","ranges":[[7,7]],"reason":"left"}"#;
const FROM_THE_FUTURE: &[u8] =
    br#"{"room":"demo","seq":1,"at":"2023-11-14T22:13:20Z","type":"WaitingTokensTraded","numbers":[1,2]}"#;

fn room() -> RoomId {
    RoomId::parse("demo").unwrap()
}

fn cloud_headers() -> OwnedHeaders {
    let told = [
        ("ce_specversion", "1.0"),
        ("ce_id", "demo.1"),
        ("ce_source", "/elsewhere"),
        ("ce_type", "WaitingTokensDeparted"),
        ("ce_time", "2023-11-14T22:13:20Z"),
        ("their-own", "kept"),
    ];
    told.into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

/// Waits for `count` letters.
async fn letters(log: &KafkaLog, count: usize) -> Vec<DeadLetter> {
    let began = Instant::now();
    loop {
        let letters = log.list(100).await.unwrap();
        if letters.len() >= count {
            return letters;
        }
        assert!(began.elapsed() < DEADLINE, "{} letters instead of {count}", letters.len());
    }
}

fn read_dead_letter(scene: &Scene) -> OwnedMessage {
    let consumer = scene.stranger();
    let mut only = TopicPartitionList::new();
    let name = format!("{}.dlq", scene.topic(Topic::WaitingTokens));
    only.add_partition_offset(&name, 0, Offset::Beginning).unwrap();
    consumer.assign(&only).unwrap();
    consumer.poll(DEADLINE).expect("a message in time").unwrap().detach()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_set_aside_and_the_next_is_delivered() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let topic = scene.topic(Topic::WaitingTokens);
    let poison: [(&[u8], &[u8], OwnedHeaders, &str); 6] = [
        (b"demo", b"{\"room\":", cloud_headers(), "the value is no event"),
        (b"demo", FROM_THE_FUTURE, cloud_headers(), "WaitingTokensTraded"),
        (b"demo", GOOD, OwnedHeaders::new(), "ce_specversion is missing"),
        (b"No Room", GOOD, cloud_headers(), "the key is no room"),
        (b"demo", br#"{"room":"demo","seq":1,"at":"2023-11-14T22:13:20Z","type":"RoomRebuilt","through_seq":1,"issued":1}"#, cloud_headers(), "belongs to turnline.rooms"),
        (b"demo", b"\xff\xfe", cloud_headers(), "the value is no event"),
    ];
    let (count, mut seq) = (poison.len(), 0);
    let mut consumer =
        log.subscribe(subscription("g", &[Topic::WaitingTokens], StartAt::Committed)).await.unwrap();
    for (key, value, headers, _) in &poison {
        seq += 1;
        scene.put(&topic, key, value, headers.clone()).await;
        let next = departed(&room(), seq);
        log.publish(vec![next.clone()]).await.unwrap();
        let heard = hear(consumer.as_mut(), ids([&next])).await;
        consumer.commit(heard.last().unwrap()).await.unwrap();
    }
    let letters = letters(&log, count).await;
    assert_eq!(letters.len(), count);
    for (_, value, _, error) in &poison {
        let same = |letter: &&DeadLetter| letter.error.contains(error);
        let letter = letters.iter().find(same).unwrap_or_else(|| panic!("{error}: {letters:#?}"));
        assert_eq!((letter.topic, letter.group.as_str()), (Topic::WaitingTokens, "g"));
        assert_eq!((letter.attempts, letter.replayed), (0, false));
        assert!(letters.iter().any(|letter| letter.value == String::from_utf8_lossy(value)));
    }

    // Another consumer of the group finds them behind it.
    drop(consumer);
    let next = departed(&room(), seq + 1);
    log.publish(vec![next.clone()]).await.unwrap();
    let mut consumer =
        log.subscribe(subscription("g", &[Topic::WaitingTokens], StartAt::Committed)).await.unwrap();
    hear(consumer.as_mut(), ids([&next])).await;
    assert_eq!(log.list(100).await.unwrap().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_the_message_with_its_reasons() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let topic = scene.topic(Topic::WaitingTokens);
    scene.put(&topic, b"demo", FROM_THE_FUTURE, cloud_headers()).await;
    let mut consumer =
        log.subscribe(subscription("g", &[Topic::WaitingTokens], StartAt::Committed)).await.unwrap();
    let waiting = tokio::spawn(async move { drop(consumer.next(1).await) });
    let letter = letters(&log, 1).await.remove(0);
    assert_eq!((letter.room, letter.event_id.as_deref()), (Some(room()), Some("demo.1")));

    let kept = read_dead_letter(&scene);
    assert_eq!((kept.key(), kept.payload()), (Some(&b"demo"[..]), Some(FROM_THE_FUTURE)));
    let header = |name: &str| {
        let found = kept.headers().unwrap().iter().find(|header| header.key == name);
        found.map(|header| String::from_utf8(header.value.unwrap().to_vec()).unwrap())
    };
    assert_eq!(header("their-own").as_deref(), Some("kept"));
    assert_eq!(header("ce_source").as_deref(), Some("/elsewhere"));
    assert_eq!(header("group").as_deref(), Some("g"));
    assert_eq!(header("attempts").as_deref(), Some("0"));
    assert_eq!(header("stood_at"), Some(format!("{topic}/{}", letter.stood_at)));
    assert_eq!(header("error"), Some(letter.error.clone()));

    // Whoever still cannot read it sets it aside again.
    assert_eq!(log.replay(&letter.id).await.unwrap(), Replay::PutBack);
    let again = letters(&log, 2).await;
    assert_eq!(again.iter().filter(|letter| letter.replayed).count(), 1);
    assert!(again.iter().all(|letter| letter.value.as_bytes() == FROM_THE_FUTURE));
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_at_the_tail_is_passed_over() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let mut tail = log.subscribe(subscription("node", &[Topic::Payments], StartAt::Tail)).await.unwrap();
    scene.put(&scene.topic(Topic::Payments), b"demo", b"?", cloud_headers()).await;
    let next = paid(&room(), "p1");
    log.publish(vec![next.clone()]).await.unwrap();
    hear(tail.as_mut(), ids([&next])).await;
    assert_eq!(log.list(10).await.unwrap(), [], "every node would keep its own copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_goes_on_past_what_cannot_be_read() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    log.publish((1..=5).map(|seq| departed(&room(), seq)).collect()).await.unwrap();
    scene.put(&scene.topic(Topic::WaitingTokens), b"demo", b"?", cloud_headers()).await;
    log.publish((6..=9).map(|seq| departed(&room(), seq)).collect()).await.unwrap();
    let history = log.history(&room()).await.unwrap();
    assert!(history.iter().map(|event| event.seq).eq(1..=9));
}
