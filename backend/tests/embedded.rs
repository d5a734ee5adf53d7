//! The embedded backend keeps what it acknowledged, and its log delivers it at least once, in order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backend::embedded::{Embedded, Options};
use kernel::event::Topic;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{EventLog, Registry, RoomRecord, RoomStore, StartAt, Subscription};
use kernel::room::{Join, Joined};
use kernel::ticket::RoomBirth;
use kernel::words::{Digest, LaneName, RoomId, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

fn policy() -> Policy {
    Policy {
        capacity: 5,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: None,
    }
}

fn room() -> RoomId {
    RoomId::parse("demo").unwrap()
}

fn join(key: u32) -> Join {
    let key = Some(Digest::of(&[&key.to_be_bytes()]));
    Join { lane: LaneName::default_lane(), holding: None, visitor: None, key }
}

async fn open_room(store: &Embedded) {
    let birth = RoomBirth { room: room(), born: u64::MAX };
    let record =
        RoomRecord { birth, policy: policy(), visitor_key: Some("k".into()), lottery_secret: [7; 32] };
    store.save(&record).await.unwrap();
    store.configure(&room(), &policy(), None, NOW).await.unwrap();
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_with_and_without_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    open_room(&store).await;
    store.join(&room(), (0..1000).map(join).collect(), NOW).await.unwrap();
    let before = store.snapshot(&room()).await.unwrap();

    // A copy of the files as they are now is what a kill would leave behind.
    let killed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
    }
    let revived = Embedded::open(killed.path(), Options::default()).unwrap();
    assert_eq!(revived.snapshot(&room()).await.unwrap(), before);
    assert_eq!(revived.load(&room()).await.unwrap().map(|record| record.birth.born), Some(u64::MAX));

    store.close();
    let reopened = Embedded::open(directory.path(), Options::default()).unwrap();
    assert_eq!(reopened.snapshot(&room()).await.unwrap(), before);
    let again = reopened.join(&room(), vec![join(41), join(5000)], NOW).await.unwrap();
    assert_eq!(again[0].joined, Joined::Held(42), "an idempotency key outlives a restart");
    assert_eq!(again[1].joined, Joined::New(1001));
}

#[tokio::test]
async fn a_directory_has_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Embedded::open(directory.path(), Options::default()).unwrap();
    let second = Embedded::open(directory.path(), Options::default()).err().map(|error| error.to_string());
    assert!(second.is_some_and(|why| why.contains("another Turnline process")));
}

#[tokio::test]
async fn the_log_delivers_again_what_was_not_committed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options { redeliver_every: Some(2) }).unwrap();
    open_room(&store).await;
    for key in 0..10 {
        store.join(&room(), vec![join(key)], NOW).await.unwrap();
    }
    let subscription =
        Subscription { group: "g".into(), topics: vec![Topic::WaitingTokens], start: StartAt::Committed };
    let mut consumer = store.subscribe(subscription.clone()).await.unwrap();
    let first = consumer.next(4).await.unwrap();
    assert_eq!(first.len(), 4);
    assert!(first.is_sorted_by_key(|delivery| delivery.offset));
    let repeated = consumer.next(4).await.unwrap();
    assert_eq!(repeated[0].record.id, first[0].record.id, "redelivery is on in tests");
    consumer.commit(&first[1]).await.unwrap();
    // Commits are lazy: closing puts them on disk.
    drop(consumer);
    store.close();

    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    let mut consumer = store.subscribe(subscription).await.unwrap();
    let rest = consumer.next(100).await.unwrap();
    assert_eq!(rest[0].record.id, first[2].record.id);
    assert_eq!(rest.len(), 8);
}
