//! What stands in Kafka: CloudEvents in binary mode, each room on the partition that Java's clients would choose.

use std::collections::BTreeMap;
use std::path::Path;

use kernel::contract::log::{departed, hear, ids, paid, subscription};
use kernel::event::{Event, Record, Topic};
use kernel::ports::{EventLog, StartAt};
use kernel::words::{RoomId, Timestamp};
use rdkafka::consumer::Consumer;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};

use crate::scene::{DEADLINE, Scene};

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

/// The first `count` messages of a topic, as anybody reads them.
fn read(scene: &Scene, topic: Topic, count: usize) -> Vec<OwnedMessage> {
    let consumer = scene.stranger();
    let mut all = TopicPartitionList::new();
    all.add_partition_range(&scene.topic(topic), 0, 3);
    all.set_all_offsets(Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let message = |_| consumer.poll(DEADLINE).expect("a message in time").unwrap().detach();
    (0..count).map(message).collect()
}

fn headers(message: &OwnedMessage) -> BTreeMap<String, String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    message.headers().unwrap().iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
}

fn expected(headers: &[(&str, &str)]) -> BTreeMap<String, String> {
    headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn events_have_the_headers_of_cloudevents() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let bought = Record { traceparent: Some(traceparent.to_owned()), ..paid(&room("demo"), "p-1") };
    log.publish(vec![departed(&room("demo"), 7), bought.clone()]).await.unwrap();
    let source = format!("/turnline/{}", scene.config.namespace);
    let at = "2023-11-14T22:13:20Z";

    let left = &read(&scene, Topic::WaitingTokens, 1)[0];
    assert_eq!(left.key(), Some(&b"demo"[..]));
    let value = br#"{"room":"demo","seq":7,"at":"2023-11-14T22:13:20Z","type":"WaitingTokensDeparted","ranges":[[7,7]],"reason":"left"}"#;
    assert_eq!(left.payload(), Some(&value[..]));
    let told = [
        ("ce_specversion", "1.0"),
        ("ce_id", "demo.7"),
        ("ce_source", &source),
        ("ce_type", "WaitingTokensDeparted"),
        ("ce_subject", "demo"),
        ("ce_time", at),
        ("content-type", "application/json"),
    ];
    assert_eq!(headers(left), expected(&told));

    let payment = &read(&scene, Topic::Payments, 1)[0];
    assert_eq!(serde_json::from_slice::<Event>(payment.payload().unwrap()).unwrap(), bought.event);
    let told = [
        ("ce_specversion", "1.0"),
        ("ce_id", "paid.p-1"),
        ("ce_source", &source),
        ("ce_type", "PaymentCompleted"),
        ("ce_subject", "p-1"),
        ("ce_time", at),
        ("content-type", "application/json"),
        ("traceparent", traceparent),
        ("payment-type", "PaymentCompleted"),
    ];
    assert_eq!(headers(payment), expected(&told));
}

/// What `Utils.murmur2` of Kafka's Java client makes of these keys, among four partitions.
#[tokio::test]
async fn a_room_is_where_javas_clients_would_look_for_it() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let rooms = [("21", 0), ("foobar", 2), ("abc", 3)];
    for (name, _) in rooms {
        log.publish((1..=3).map(|seq| departed(&room(name), seq)).collect()).await.unwrap();
    }
    for message in read(&scene, Topic::WaitingTokens, 9) {
        let key = std::str::from_utf8(message.key().unwrap()).unwrap();
        let home = rooms.iter().find(|(name, _)| *name == key).unwrap();
        assert_eq!(message.partition(), home.1, "{key}");
    }
    for (name, _) in rooms {
        assert_eq!(log.history(&room(name)).await.unwrap().len(), 3);
    }
}

/// Every type there is, from the examples that the schemas are shown with.
#[tokio::test]
async fn every_type_comes_as_it_went() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events/examples");
    let mut records = Vec::new();
    for (at, file) in std::fs::read_dir(folder).unwrap().enumerate() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let (id, at) = (at.to_string(), Timestamp::from_millis(1_900_000_000_123));
        let event = serde_json::from_str(&text).unwrap();
        records.push(Record { id, room: room("demo"), at, traceparent: None, event });
    }
    assert!(records.len() >= 17, "one example a type at least, not {}", records.len());
    log.publish(records.clone()).await.unwrap();
    let mut consumer = log.subscribe(subscription("g", &Topic::ALL, StartAt::Committed)).await.unwrap();
    let heard = hear(consumer.as_mut(), ids(&records)).await;
    for record in records {
        let found = heard.iter().find(|one| one.record.id == record.id).unwrap();
        assert_eq!(*found.record, record);
    }
}
