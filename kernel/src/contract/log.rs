//! What every event log has to do, written once, and no more than Kafka can: order a room and topic only, and
//! anything may come twice. A backend adopts it with one line, `kernel::event_log_contract!(make_log)`.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use super::{T0, room};
use crate::event::{Event, PaymentFact, PaymentRef, Record, RoomEvent, RoomFact, Topic};
use crate::ports::{Consumer, DeadLetters, Delivery, EventLog, Replay, StartAt, Subscription};
use crate::words::{EndReason, Ranges, RoomId};

/// How long a case may take: a log that never delivers fails, rather than to hold up the rest.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// One test a case. `$make` is an async function that answers `(log, kept)`: an empty log behind an `Arc`, and
/// what has to live as long as the log does.
#[macro_export]
macro_rules! event_log_contract {
    ($make:path) => {
        $crate::event_log_contract!(@cases $make: [
            events_of_a_room_come_in_order,
            every_group_hears_everything_of_its_topics,
            what_was_not_committed_comes_again,
            what_was_committed_is_behind_us,
            a_tail_hears_what_comes_and_nothing_from_before,
            a_dropped_wait_loses_nothing,
            a_history_is_every_event_of_the_room_once,
            what_is_set_aside_is_shown_newest_first,
            what_is_put_back_comes_again,
        ]);
    };
    (@cases $make:path: [$($case:ident,)*]) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (log, _kept) = $make().await;
                let case = $crate::contract::log::$case(&*log);
                let done = tokio::time::timeout($crate::contract::log::PATIENCE, case).await;
                assert!(done.is_ok(), "the log did not deliver in time");
            }
        )*
    };
}

/// An event of a room in the topic that tells who left.
pub fn departed(room: &RoomId, seq: u64) -> Record {
    of_room(room, seq, RoomFact::WaitingTokensDeparted { ranges: Ranges::one(seq), reason: EndReason::Left })
}

pub fn of_room(room: &RoomId, seq: u64, fact: RoomFact) -> Record {
    RoomEvent { room: room.clone(), seq, at: T0, fact }.into()
}

pub fn paid(room: &RoomId, payment: &str) -> Record {
    let fact = PaymentFact::PaymentCompleted(PaymentRef {
        room: room.clone(),
        payment_id: payment.to_owned(),
        reservation_id: "r".to_owned(),
        performance_id: "f".to_owned(),
        seat_id: "s".to_owned(),
        number: 1,
        amount_minor: 5_000,
        currency: "EUR".to_owned(),
    });
    let event = Event::Payment(fact);
    Record { id: format!("paid.{payment}"), room: room.clone(), at: T0, traceparent: None, event }
}

pub fn subscription(group: &str, topics: &[Topic], start: StartAt) -> Subscription {
    Subscription { group: group.to_owned(), topics: topics.to_vec(), start }
}

/// Takes what comes until all of `ids` have come, and tells every delivery in the order in which it came.
pub async fn hear(consumer: &mut dyn Consumer, ids: impl IntoIterator<Item = String>) -> Vec<Delivery> {
    let mut missing: HashSet<String> = ids.into_iter().collect();
    let mut heard = Vec::new();
    while !missing.is_empty() {
        for delivery in consumer.next(64).await.unwrap() {
            missing.remove(&delivery.record.id);
            heard.push(delivery);
        }
    }
    heard
}

pub fn ids<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<String> {
    records.into_iter().map(|record| record.id.clone()).collect()
}

fn once(heard: &[Delivery]) -> Vec<String> {
    let mut seen = HashSet::new();
    heard.iter().map(|one| one.record.id.clone()).filter(|id| seen.insert(id.clone())).collect()
}

const WAITING: &[Topic] = &[Topic::WaitingTokens];

pub async fn events_of_a_room_come_in_order<L: EventLog>(log: &L) {
    let rooms = ["a", "b", "c"].map(room);
    let mut told: BTreeMap<RoomId, Vec<String>> = BTreeMap::new();
    for first in (1..=300).step_by(30) {
        let batch: Vec<Record> =
            (first..first + 30).flat_map(|seq| rooms.iter().map(move |room| departed(room, seq))).collect();
        for record in &batch {
            told.entry(record.room.clone()).or_default().push(record.id.clone());
        }
        log.publish(batch).await.unwrap();
    }
    let mut consumer = log.subscribe(subscription("g", WAITING, StartAt::Committed)).await.unwrap();
    let heard = hear(consumer.as_mut(), told.values().flatten().cloned()).await;
    for (room, told) in told {
        let of_room: Vec<Delivery> = heard.iter().filter(|one| one.record.room == room).cloned().collect();
        assert_eq!(once(&of_room), told, "in the order in which they were published");
    }
}

pub async fn every_group_hears_everything_of_its_topics<L: EventLog>(log: &L) {
    let here = room("a");
    let left: Vec<Record> = (1..=20).map(|seq| departed(&here, seq)).collect();
    let bought: Vec<Record> = (1..=20).map(|payment| paid(&here, &payment.to_string())).collect();
    log.publish(left.iter().chain(&bought).cloned().collect()).await.unwrap();
    for group in ["one", "two"] {
        let mut consumer = log.subscribe(subscription(group, WAITING, StartAt::Committed)).await.unwrap();
        assert_eq!(once(&hear(consumer.as_mut(), ids(&left)).await), ids(&left));
    }
    let both = [Topic::WaitingTokens, Topic::Payments];
    let mut consumer = log.subscribe(subscription("both", &both, StartAt::Committed)).await.unwrap();
    let heard = hear(consumer.as_mut(), ids(left.iter().chain(&bought))).await;
    let found = heard.iter().find(|one| one.record.id == bought[0].id).unwrap();
    assert_eq!(*found.record, bought[0], "as it was published");
}

pub async fn what_was_not_committed_comes_again<L: EventLog>(log: &L) {
    let records: Vec<Record> = (1..=20).map(|seq| departed(&room("a"), seq)).collect();
    log.publish(records.clone()).await.unwrap();
    let from = subscription("g", WAITING, StartAt::Committed);
    let mut consumer = log.subscribe(from.clone()).await.unwrap();
    let heard = hear(consumer.as_mut(), ids(&records)).await;
    let fifth = heard.iter().find(|one| one.record.id == records[4].id).unwrap();
    consumer.commit(fifth).await.unwrap();
    drop(consumer);
    let mut consumer = log.subscribe(from).await.unwrap();
    let again = once(&hear(consumer.as_mut(), ids(&records[5..])).await);
    assert!(again.ends_with(&ids(&records[5..])), "what is behind the commit, in order: {again:?}");
}

pub async fn what_was_committed_is_behind_us<L: EventLog>(log: &L) {
    let records: Vec<Record> = (1..=20).map(|seq| departed(&room("a"), seq)).collect();
    log.publish(records[..10].to_vec()).await.unwrap();
    let from = subscription("g", WAITING, StartAt::Committed);
    let mut consumer = log.subscribe(from.clone()).await.unwrap();
    let heard = hear(consumer.as_mut(), ids(&records[..10])).await;
    consumer.commit(heard.last().unwrap()).await.unwrap();
    drop(consumer);
    log.publish(records[10..].to_vec()).await.unwrap();
    // A commit may take a moment to count: until then what was committed comes again.
    loop {
        let mut consumer = log.subscribe(from.clone()).await.unwrap();
        let first = consumer.next(1).await.unwrap();
        if first[0].record.id == records[10].id {
            break;
        }
    }
}

pub async fn a_tail_hears_what_comes_and_nothing_from_before<L: EventLog>(log: &L) {
    let (before, here) = (room("before"), room("here"));
    let mut seq = 0;
    // Wherever the two meet, nothing is left out between them.
    for _ in 0..20 {
        seq += 1;
        log.publish(vec![departed(&before, seq)]).await.unwrap();
        let mut tail = log.subscribe(subscription("node", WAITING, StartAt::Tail)).await.unwrap();
        let new: Vec<Record> = (0..5).map(|more| departed(&here, seq * 10 + more)).collect();
        log.publish(new.clone()).await.unwrap();
        let heard = hear(tail.as_mut(), ids(&new)).await;
        assert_eq!(once(&heard), ids(&new));
        tail.commit(heard.last().unwrap()).await.unwrap();
    }
}

pub async fn a_dropped_wait_loses_nothing<L: EventLog>(log: &L) {
    let records: Vec<Record> = (1..=200).map(|seq| departed(&room("a"), seq)).collect();
    let mut consumer = log.subscribe(subscription("g", WAITING, StartAt::Committed)).await.unwrap();
    let mut heard = Vec::new();
    let mut published = 0;
    while once(&heard).len() < records.len() {
        // Asked, and not waited for.
        let ready = at_once(consumer.next(3)).await;
        heard.extend(ready.into_iter().flat_map(Result::unwrap));
        if published < records.len() {
            log.publish(vec![records[published].clone()]).await.unwrap();
            published += 1;
        } else if once(&heard).len() < records.len() {
            heard.extend(consumer.next(3).await.unwrap());
        }
    }
    assert_eq!(once(&heard), ids(&records));
}

/// What `work` answers when it is asked once.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

pub async fn a_history_is_every_event_of_the_room_once<L: EventLog>(log: &L) {
    let (here, there) = (room("here"), room("there"));
    assert_eq!(log.history(&here).await.unwrap(), [], "nothing has happened");
    let progress = |called_through| RoomFact::RoomProgressed {
        version: called_through,
        state: crate::control::Control::Open,
        called_through,
        departed_delta: 0,
        waiting: 0,
        active: 0,
        rate: 0,
    };
    let told: Vec<Record> = (1..=60)
        .map(|seq| match seq % 2 {
            0 => of_room(&here, seq, progress(seq)),
            _ => departed(&here, seq),
        })
        .collect();
    let elsewhere = (1..=60).map(|seq| departed(&there, seq));
    log.publish(told[..40].iter().cloned().chain(elsewhere).collect()).await.unwrap();
    // What was told twice counts once.
    log.publish(told[20..].iter().cloned().chain([paid(&here, "p")]).collect()).await.unwrap();
    let history = log.history(&here).await.unwrap();
    let expected: Vec<RoomEvent> =
        told.into_iter().map(|record| record.event.of_room().cloned().expect("rooms only")).collect();
    assert_eq!(history, expected);
}

/// Hears `records` as `group` and sets them aside, each with an error that names it.
async fn set_aside<L: EventLog>(log: &L, group: &str, records: &[Record]) -> Vec<Delivery> {
    log.publish(records.to_vec()).await.unwrap();
    let topics = [Topic::WaitingTokens, Topic::Payments];
    let mut consumer = log.subscribe(subscription(group, &topics, StartAt::Committed)).await.unwrap();
    let heard = hear(consumer.as_mut(), ids(records)).await;
    let mut told = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let delivery = heard.iter().find(|one| one.record.id == record.id).unwrap().clone();
        let attempts = u32::try_from(at).unwrap() + 1;
        log.set_aside(group, &delivery, &format!("no use for {}", record.id), attempts).await.unwrap();
        told.push(delivery);
    }
    told
}

pub async fn what_is_set_aside_is_shown_newest_first<L: EventLog + DeadLetters>(log: &L) {
    assert_eq!(log.list(10).await.unwrap(), []);
    assert_eq!(log.show("nothing").await.unwrap(), None);
    let records = [departed(&room("a"), 1), paid(&room("b"), "p1"), departed(&room("a"), 2)];
    let heard = set_aside(log, "g", &records).await;
    let letters = log.list(10).await.unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.is_sorted_by(|one, other| one.at >= other.at), "the newest first");
    for (record, delivery) in records.iter().zip(&heard) {
        let letter = letters.iter().find(|one| one.event_id.as_ref() == Some(&record.id)).unwrap();
        assert_eq!((letter.topic, letter.group.as_str()), (record.event.topic(), "g"));
        assert_eq!((&letter.room, letter.replayed), (&Some(record.room.clone()), false));
        assert_eq!(letter.stood_at, delivery.place.to_string());
        assert_eq!(letter.error, format!("no use for {}", record.id));
        assert_eq!(serde_json::from_str::<Event>(&letter.value).unwrap(), record.event);
        assert_eq!(log.show(&letter.id).await.unwrap().as_ref(), Some(letter));
    }
    let mut attempts: Vec<u32> = letters.iter().map(|letter| letter.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(log.list(2).await.unwrap(), letters[..2]);
}

pub async fn what_is_put_back_comes_again<L: EventLog + DeadLetters>(log: &L) {
    let records = [departed(&room("a"), 1), paid(&room("b"), "p1")];
    set_aside(log, "g", &records).await;
    let mut tail = log.subscribe(subscription("node", WAITING, StartAt::Tail)).await.unwrap();
    let letters = log.list(10).await.unwrap();
    let letter = letters.iter().find(|one| one.event_id.as_ref() == Some(&records[0].id)).unwrap();
    assert_eq!(log.replay(&letter.id).await.unwrap(), Replay::PutBack);
    let heard = hear(tail.as_mut(), ids(&records[..1])).await;
    assert_eq!(*heard[0].record, records[0], "as it was");
    assert_eq!(log.replay(&letter.id).await.unwrap(), Replay::Already);
    assert!(log.show(&letter.id).await.unwrap().is_some_and(|letter| letter.replayed));
    let marked: Vec<bool> = log.list(10).await.unwrap().iter().map(|one| one.replayed).collect();
    assert_eq!(marked.iter().filter(|replayed| **replayed).count(), 1, "{marked:?}");
    let mut nobodys = letter.id.clone();
    write!(nobodys, "999999").unwrap();
    assert_eq!(log.replay(&nobodys).await.unwrap(), Replay::Unknown);
    assert_eq!(log.replay("nothing").await.unwrap(), Replay::Unknown);
}
