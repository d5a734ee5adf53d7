//! The embedded backend keeps what it acknowledged, and its log delivers it at least once, in order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backend::embedded::{Embedded, Options};
use kernel::contract::policy;
use kernel::event::{Event, PaymentFact, PaymentRef, Record, Topic};
use kernel::ports::{EventLog, Registry, RoomRecord, RoomStore, StartAt, Subscription};
use kernel::room::{Join, Joined};
use kernel::ticket::RoomBirth;
use kernel::words::{Digest, LaneName, RoomId, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

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
        RoomRecord { birth, policy: policy(5), visitor_key: Some("k".into()), lottery_secret: [7; 32] };
    store.save(&record).await.unwrap();
    store.configure(&room(), &policy(5), None, NOW).await.unwrap();
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

#[tokio::test]
async fn a_group_that_cannot_be_written_never_happened() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    open_room(&store).await;
    store.join(&room(), vec![join(1)], NOW).await.unwrap();
    let before = store.snapshot(&room()).await.unwrap();

    let disk = rusqlite::Connection::open(directory.path().join("rooms.sqlite")).unwrap();
    disk.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    )
    .unwrap();
    assert!(store.join(&room(), vec![join(2)], NOW).await.is_err());
    assert_eq!(store.snapshot(&room()).await.unwrap(), before, "the room is as it is on disk");
    disk.execute_batch("DROP TRIGGER full").unwrap();

    let joined = store.join(&room(), vec![join(2), join(1)], NOW).await.unwrap();
    assert_eq!(joined[0].joined, Joined::New(2), "a number that nobody was told is given again");
    assert_eq!(joined[1].joined, Joined::Held(1));
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_costs_time_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    open_room(&store).await;
    store.join(&room(), (0..100).map(join).collect(), NOW).await.unwrap();
    let before = store.snapshot(&room()).await.unwrap();
    store.close();

    let disk = rusqlite::Connection::open(directory.path().join("rooms.sqlite")).unwrap();
    assert_eq!(disk.execute("UPDATE snapshots SET state = x'c1'", []).unwrap(), 1);
    drop(disk);
    let reopened = Embedded::open(directory.path(), Options::default()).unwrap();
    assert_eq!(reopened.snapshot(&room()).await.unwrap(), before);
    assert_eq!(reopened.join(&room(), vec![join(7)], NOW).await.unwrap()[0].joined, Joined::Held(8));
}

fn paid(number: u64) -> Record {
    let fact = PaymentFact::PaymentCompleted(PaymentRef {
        room: room(),
        payment_id: format!("p{number}"),
        reservation_id: "r".into(),
        performance_id: "f".into(),
        seat_id: "s".into(),
        number,
        amount_minor: 1,
        currency: "EUR".into(),
    });
    let event = Event::Payment(fact);
    Record { id: format!("p{number}"), room: room(), at: NOW, traceparent: None, event }
}

#[tokio::test]
async fn who_reads_slowly_hears_everything_in_order() {
    const PAYMENTS: u64 = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    open_room(&store).await;
    let from =
        |group: &str, start| Subscription { group: group.into(), topics: vec![Topic::Payments], start };
    let mut slow = store.subscribe(from("slow", StartAt::Tail)).await.unwrap();
    // More than is kept in memory, and events of other topics in between.
    for first in (0..PAYMENTS).step_by(1_000) {
        store.publish((first..first + 1_000).map(paid).collect()).await.unwrap();
        store.join(&room(), vec![join(u32::try_from(first).unwrap())], NOW).await.unwrap();
    }
    let mut late = store.subscribe(from("late", StartAt::Committed)).await.unwrap();
    for consumer in [&mut slow, &mut late] {
        let mut heard = Vec::new();
        while (heard.len() as u64) < PAYMENTS {
            heard.extend(
                consumer.next(700).await.unwrap().into_iter().map(|delivery| delivery.record.id.clone()),
            );
        }
        assert!(heard.into_iter().eq((0..PAYMENTS).map(|number| format!("p{number}"))));
    }
    store.publish(vec![paid(PAYMENTS)]).await.unwrap();
    assert_eq!(slow.next(9).await.unwrap().len(), 1, "and goes on with what is new");
}
