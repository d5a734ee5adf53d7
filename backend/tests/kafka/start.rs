//! The first moments: topics are made, once and as documented, and what is wrong is said.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::clock::SystemClock;
use backend::cluster::kafka::{Config, ConnectError, KafkaLog};
use kernel::contract::log::departed;
use kernel::event::Topic;
use kernel::ports::EventLog;
use kernel::words::RoomId;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use tokio::task::JoinSet;

use crate::scene::{DEADLINE, Scene, url};

async fn refusal(config: Config) -> String {
    match KafkaLog::connect(config, Arc::new(SystemClock)).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_make_every_topic_once() {
    let scene = Arc::new(Scene::fresh());
    let mut starting = JoinSet::new();
    for _ in 0..4 {
        let scene = scene.clone();
        starting.spawn(async move { scene.connect().await });
    }
    let logs = starting.join_all().await;
    let room = RoomId::parse("demo").unwrap();
    for (log, seq) in logs.iter().zip(1..) {
        log.publish(vec![departed(&room, seq)]).await.unwrap();
    }
    assert_eq!(logs[0].history(&room).await.unwrap().len(), 4);

    let seen = scene.stranger().fetch_metadata(None, DEADLINE).unwrap();
    for topic in Topic::ALL {
        for (name, partitions) in [(scene.topic(topic), 4), (format!("{}.dlq", scene.topic(topic)), 1)] {
            let made = seen.topics().iter().find(|topic| topic.name() == name).expect("it was made");
            assert_eq!(made.partitions().len(), partitions, "{name}");
        }
    }
}

#[tokio::test]
async fn topics_are_kept_for_as_long_as_is_documented() {
    let scene = Scene::fresh();
    scene.connect().await;
    let day = 24 * 60 * 60 * 1000_i64;
    let mut kept = HashMap::new();
    for topic in Topic::ALL {
        let days = if Topic::OF_ROOMS.contains(&topic) { -1 } else { 14 * day };
        kept.insert(scene.topic(topic), days);
        kept.insert(format!("{}.dlq", scene.topic(topic)), 30 * day);
    }
    let asked: Vec<_> = kept.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
    let told = scene.admin().describe_configs(&asked, &AdminOptions::new()).await.unwrap();
    assert_eq!(told.len(), kept.len());
    for resource in told.into_iter().map(Result::unwrap) {
        let rdkafka::admin::OwnedResourceSpecifier::Topic(name) = &resource.specifier else { panic!() };
        let value = |setting: &str| resource.get(setting).unwrap().value.clone().unwrap();
        assert_eq!(value("retention.ms"), kept[name].to_string(), "{name}");
        assert_eq!(value("cleanup.policy"), "delete", "{name}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_none_is_refused() {
    let told = refusal(Config::new(&url(), "two words", "turnline")).await;
    assert!(told.contains("two words") && told.contains("namespace"), "{told}");
}

#[tokio::test]
async fn a_kafka_that_does_not_answer_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = Config::new(&nobody.to_string(), "", "turnline");
    config.start_patience = Duration::from_secs(1);
    let refused = KafkaLog::connect(config, Arc::new(SystemClock)).await;
    let Err(error) = refused else { panic!("it connected") };
    assert!(matches!(error, ConnectError::Unreachable(..)), "{error}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
}

#[tokio::test]
async fn a_living_kafka_answers_at_once() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let began = Instant::now();
    log.answers().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
}
