//! A Kafka of the test's own that is killed in the middle of everything, then stopped, and comes back each
//! time: nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backend::clock::SystemClock;
use backend::cluster::kafka::{Config, KafkaLog};
use kernel::contract::log::{departed, subscription};
use kernel::event::Topic;
use kernel::ports::{EventLog, LogError, StartAt};
use kernel::words::RoomId;
use xtask::services::Service;

const ROOMS: u64 = 6;
/// A broker that replays its log and elects itself needs some seconds on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

/// What one consumer heard, all told.
type Heard = Arc<Mutex<HashSet<String>>>;

/// Publishes event after event of every room, each again until it is acknowledged; answers how many a room.
async fn publish(log: KafkaLog, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> u64 {
    let mut seq = 0;
    while !stop.load(Ordering::SeqCst) {
        seq += 1;
        let batch: Vec<_> = (0..ROOMS).map(|number| departed(&room(number), seq)).collect();
        while let Err(LogError::Unavailable(_)) = log.publish(batch.clone()).await {}
        acknowledged.store(seq, Ordering::SeqCst);
    }
    seq
}

/// Takes and commits until it is stopped; subscribes again whenever the log sends it away.
async fn listen(log: KafkaLog, start: StartAt, ready: tokio::sync::oneshot::Sender<()>, heard: Heard) {
    let from = subscription("g", &[Topic::WaitingTokens], start);
    let mut ready = Some(ready);
    loop {
        let Ok(mut consumer) = log.subscribe(from.clone()).await else { continue };
        if let Some(ready) = ready.take() {
            ready.send(()).unwrap();
        }
        while let Ok(batch) = consumer.next(100).await {
            heard.lock().unwrap().extend(batch.iter().map(|one| one.record.id.clone()));
            if consumer.commit(batch.last().unwrap()).await.is_err() {
                break;
            }
        }
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        // sleep: the interval of a poll under a deadline
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_and_comes_back_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let mut kafka = tokio::task::spawn_blocking(move || Service::kafka(&path)).await.unwrap().unwrap();
    let config = Config { partitions: 3, ..Config::new(&kafka.url(), "", "turnline-test") };
    let log = KafkaLog::connect(config, Arc::new(SystemClock)).await.unwrap();
    log.answers().await.unwrap();

    let (member, tail) = (Heard::default(), Heard::default());
    let mut listening = Vec::new();
    for (start, heard) in [(StartAt::Committed, &member), (StartAt::Tail, &tail)] {
        let (ready, listens) = tokio::sync::oneshot::channel();
        listening.push(tokio::spawn(listen(log.clone(), start, ready, heard.clone())));
        listens.await.unwrap();
    }
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let publishing = tokio::spawn(publish(log.clone(), stop.clone(), acknowledged.clone()));

    for orderly in [false, true] {
        let before = acknowledged.load(Ordering::SeqCst);
        until("events go through", || acknowledged.load(Ordering::SeqCst) > before + 50).await;
        until("and are heard", || {
            member.lock().unwrap().contains(&format!("room-0.{before}")) || before == 0
        })
        .await;
        let end = move || if orderly { kafka.stop() } else { kafka.kill_9() }.map(|()| kafka);
        kafka = tokio::task::spawn_blocking(end).await.unwrap().unwrap();
        let asked = Instant::now();
        log.answers().await.expect_err("nobody is there");
        assert!(asked.elapsed() < Duration::from_secs(4), "the answer took {:?}", asked.elapsed());
        let stood_still = acknowledged.load(Ordering::SeqCst);
        kafka = tokio::task::spawn_blocking(move || kafka.restart().map(|()| kafka)).await.unwrap().unwrap();
        let back = Instant::now();
        until("events go through again", || acknowledged.load(Ordering::SeqCst) > stood_still + 1).await;
        println!("publishing went on {:?} after the broker answered", back.elapsed());
        let heard_again = format!("room-0.{}", acknowledged.load(Ordering::SeqCst));
        until("and are heard again", || member.lock().unwrap().contains(&heard_again)).await;
        println!("and the group {:?} after", back.elapsed());
        log.answers().await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let last = publishing.await.unwrap();
    let all: HashSet<String> =
        (0..ROOMS).flat_map(|number| (1..=last).map(move |seq| format!("room-{number}.{seq}"))).collect();
    until("the group heard everything", || member.lock().unwrap().is_superset(&all)).await;
    until("whoever follows heard everything", || tail.lock().unwrap().is_superset(&all)).await;
    for number in 0..ROOMS {
        let history = log.history(&room(number)).await.unwrap();
        assert!(history.iter().map(|event| event.seq).eq(1..=last), "a history is whole, and tells all once");
    }
    listening.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::task::spawn_blocking(move || drop(kafka)).await.unwrap();
}
