//! What becomes of events that cannot be handled: they wait for a store that is away, and only for that; the
//! others go to the dead letters before anything behind them counts as done.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use backend::embedded::{Embedded, Options};
use edge::consume;
use kernel::contract::log::{departed, paid, subscription};
use kernel::event::{Record, RoomEvent, Topic};
use kernel::ports::{Consumer, DeadLetters, Delivery, EventLog, LogError, StartAt, StoreError, Subscription};
use kernel::words::RoomId;
use tokio_util::sync::CancellationToken;

fn room() -> RoomId {
    RoomId::parse("demo").unwrap()
}

fn payments(count: u32) -> Vec<Record> {
    (1..=count).map(|number| paid(&room(), &number.to_string())).collect()
}

fn broken() -> StoreError {
    StoreError::Broken("a row of another world".into())
}

/// A log whose dead letters are away for the next few calls.
struct Reluctant {
    log: Embedded,
    refusals: AtomicU32,
    stop: Option<CancellationToken>,
}

#[async_trait]
impl EventLog for Reluctant {
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        self.log.publish(records).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        self.log.subscribe(subscription).await
    }

    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
        self.log.history(room).await
    }

    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        let left = self.refusals.load(Ordering::SeqCst);
        if left == 0 {
            return self.log.set_aside(group, delivery, error, attempts).await;
        }
        self.refusals.store(left - 1, Ordering::SeqCst);
        if let Some(stop) = &self.stop {
            stop.cancel();
        }
        Err(LogError::Unavailable("as the test wished".into()))
    }
}

fn open(directory: &tempfile::TempDir, redeliver_every: Option<u64>) -> Embedded {
    Embedded::open(directory.path(), Options { redeliver_every }).unwrap()
}

// Only the pauses between the tries wait for time, which is stopped: each is over at once.
#[tokio::test(start_paused = true)]
async fn an_event_waits_for_a_store_that_is_away_and_a_bad_one_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let log = Reluctant { log: open(&directory, Some(3)), refusals: AtomicU32::new(9), stop: None };
    log.publish(payments(3)).await.unwrap();
    let (stop, tries) = (CancellationToken::new(), Mutex::new(HashMap::<String, u32>::new()));
    let from = subscription("g", &[Topic::Payments], StartAt::Committed);
    consume(&log, from, stop.clone(), |record| {
        let mut tries = tries.lock().unwrap();
        let tried = tries.entry(record.id.clone()).or_default();
        *tried += 1;
        std::future::ready(match (record.id.as_str(), *tried) {
            ("paid.1", 1..=50) => Err(StoreError::Unavailable("the disk is full".into())),
            ("paid.2", _) => Err(broken()),
            ("paid.3", _) => {
                stop.cancel();
                Ok(())
            }
            _ => Ok(()),
        })
    })
    .await;
    let tries = tries.into_inner().unwrap();
    assert_eq!((tries["paid.1"], tries["paid.2"], tries["paid.3"]), (51, 6, 1));
    assert_eq!(log.refusals.load(Ordering::SeqCst), 0, "it was tried until the log had taken it");
    let letters = log.log.list(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event_id.as_deref(), letters[0].attempts), (Some("paid.2"), 6));
    assert_eq!((letters[0].group.as_str(), &letters[0].room), ("g", &Some(room())));
    assert!(letters[0].error.contains("another world"), "{}", letters[0].error);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_set_aside_before_the_end_comes_again() {
    let directory = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let refusals = AtomicU32::new(u32::MAX);
    let log = Reluctant { log: open(&directory, None), refusals, stop: Some(stop.clone()) };
    log.publish(payments(2)).await.unwrap();
    let from = subscription("g", &[Topic::Payments], StartAt::Committed);
    consume(&log, from.clone(), stop, |_| std::future::ready(Err(broken()))).await;
    assert_eq!(log.log.list(10).await.unwrap(), []);
    let mut next = log.subscribe(from).await.unwrap();
    assert_eq!(next.next(1).await.unwrap()[0].record.id, "paid.1", "nothing of it was committed");
}

#[tokio::test(start_paused = true)]
async fn at_the_tail_nothing_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory, None);
    let (stop, tries) = (CancellationToken::new(), AtomicU32::new(0));
    let from = subscription("node", &[Topic::WaitingTokens], StartAt::Tail);
    let listening = consume(&log, from, stop.clone(), |record| {
        if record.id == "demo.2" {
            stop.cancel();
            return std::future::ready(Ok(()));
        }
        tries.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Err(broken()))
    });
    let publishing = async {
        // The subscription is in force before the first poll of it is over.
        tokio::task::yield_now().await;
        log.publish(vec![departed(&room(), 1), departed(&room(), 2)]).await.unwrap();
    };
    tokio::join!(listening, publishing);
    assert_eq!(tries.load(Ordering::SeqCst), 6);
    assert_eq!(log.list(10).await.unwrap(), []);
}
