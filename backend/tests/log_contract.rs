//! The embedded log passes the contract of every event log, and delivers batches twice meanwhile.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use backend::embedded::{Embedded, Options};
use kernel::contract::log::{paid, subscription};
use kernel::event::Topic;
use kernel::ports::{DeadLetters, EventLog, Replay, StartAt};
use kernel::words::RoomId;
use tempfile::TempDir;

async fn embedded() -> (Arc<Embedded>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let options = Options { redeliver_every: Some(3) };
    let log = Embedded::open(directory.path(), options).expect("a new directory opens");
    (Arc::new(log), directory)
}

kernel::event_log_contract!(embedded);

#[tokio::test]
async fn dead_letters_outlive_a_restart_and_are_one_a_delivery() {
    let directory = tempfile::tempdir().unwrap();
    let log = Embedded::open(directory.path(), Options::default()).unwrap();
    log.publish(vec![paid(&RoomId::parse("demo").unwrap(), "1")]).await.unwrap();
    let from = subscription("g", &[Topic::Payments], StartAt::Committed);
    let delivery = log.subscribe(from).await.unwrap().next(1).await.unwrap().remove(0);
    // A crash before the commit lets it come, and fail, once more.
    log.set_aside("g", &delivery, "broken", 6).await.unwrap();
    log.set_aside("g", &delivery, "still broken", 6).await.unwrap();
    log.set_aside("h", &delivery, "broken for others too", 6).await.unwrap();
    let letters = log.list(10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| (letter.group.as_str(), letter.error.as_str())).collect();
    assert_eq!(told, [("h", "broken for others too"), ("g", "still broken")]);
    log.close();

    let log = Embedded::open(directory.path(), Options::default()).unwrap();
    assert_eq!(log.list(10).await.unwrap(), letters);
    assert_eq!(log.replay(&letters[1].id).await.unwrap(), Replay::PutBack);
    log.close();
    let log = Embedded::open(directory.path(), Options::default()).unwrap();
    assert_eq!(log.replay(&letters[1].id).await.unwrap(), Replay::Already);
    assert_eq!(log.replay(&letters[0].id).await.unwrap(), Replay::PutBack);
}
