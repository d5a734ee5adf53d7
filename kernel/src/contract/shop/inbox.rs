//! What was received is worked on once, in the order of its room, and tried again when it failed.

use std::sync::Arc;

use super::{concert, hall};
use crate::contract::T0;
use crate::event::{Event, Record, RoomEvent, RoomFact};
use crate::ports::reservations::InboxEntry;
use crate::ports::{Delivery, Place, ReservationStore};
use crate::words::{EndReason, RoomId, Timestamp};

type Store = Arc<dyn ReservationStore>;

/// A slot of the room that ended, as the log delivers it.
fn delivered(room: &RoomId, seq: u64) -> Delivery {
    let fact = RoomFact::ActiveTokenReleased { number: seq, reason: EndReason::Left };
    let event = RoomEvent { room: room.clone(), seq, at: T0, fact };
    let record = Record {
        id: format!("{room}.{seq}"),
        room: room.clone(),
        at: T0,
        traceparent: (seq == 1).then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        event: Event::Room(event),
    };
    let place = Place { partition: 3, offset: seq + 40 };
    Delivery { record: Arc::new(record), place, offset: seq + 400 }
}

async fn due(store: &Store, consumer: &str, now: Timestamp) -> Vec<InboxEntry> {
    store.inbox(consumer, now, 100).await.unwrap()
}

fn ids(entries: &[InboxEntry]) -> Vec<&str> {
    entries.iter().map(|one| one.delivery.record.id.as_str()).collect()
}

pub async fn what_is_received_twice_is_worked_once(store: Store) {
    let of = |seqs: &[u64]| seqs.iter().map(|seq| delivered(&hall(), *seq)).collect::<Vec<_>>();
    store.receive("one", of(&[1, 2]), T0).await.unwrap();
    store.receive("one", of(&[1, 2, 3, 3]), T0).await.unwrap();
    store.receive("one", Vec::new(), T0).await.unwrap();
    store.receive("two", of(&[2]), T0).await.unwrap();
    let entries = due(&store, "one", T0).await;
    assert_eq!(ids(&entries), ["hall.1", "hall.2", "hall.3"]);
    assert_eq!(ids(&store.inbox("one", T0, 2).await.unwrap()), ["hall.1", "hall.2"]);
    assert_eq!(ids(&due(&store, "two", T0).await), ["hall.2"]);
    let (got, sent) = (&entries[0].delivery, delivered(&hall(), 1));
    assert_eq!((&*got.record, got.place, got.offset), (&*sent.record, sent.place, sent.offset));
    assert!(entries.iter().all(|one| one.attempts == 0));

    store.handled(vec![entries[0].entry, entries[2].entry], T0).await.unwrap();
    store.receive("one", of(&[1]), T0).await.unwrap();
    assert_eq!(
        ids(&due(&store, "one", T0).await),
        ["hall.2"],
        "what was handled is known when it comes again"
    );
    assert_eq!(ids(&due(&store, "two", T0).await), ["hall.2"], "another's work is its own");
}

pub async fn what_failed_waits_and_its_room_with_it(store: Store) {
    let tent = RoomId::parse("tent").unwrap();
    let mixed = vec![delivered(&hall(), 1), delivered(&tent, 1), delivered(&hall(), 2), delivered(&tent, 2)];
    store.receive("one", mixed, T0).await.unwrap();
    let first = due(&store, "one", T0).await.remove(0);
    let later = T0.plus_seconds(10);
    store.postponed(first.entry, "it would not work", 1, later).await.unwrap();
    let early = later.minus_millis(1);
    assert_eq!(ids(&due(&store, "one", early).await), ["tent.1", "tent.2"]);
    store.receive("one", vec![delivered(&hall(), 3)], early).await.unwrap();
    assert_eq!(ids(&due(&store, "one", early).await), ["tent.1", "tent.2"]);
    let again = due(&store, "one", later).await;
    assert_eq!(ids(&again), ["hall.1", "tent.1", "hall.2", "tent.2", "hall.3"]);
    assert_eq!((again[0].entry, again[0].attempts, again[2].attempts), (first.entry, 1, 0));
    store.handled(vec![first.entry], later).await.unwrap();
    assert_eq!(ids(&due(&store, "one", early).await), ["tent.1", "hall.2", "tent.2", "hall.3"]);
}

/// The operator can put it back, and then it is no repeat.
pub async fn what_was_set_aside_comes_anew_when_it_is_put_back(store: Store) {
    store.receive("one", vec![delivered(&hall(), 1), delivered(&hall(), 2)], T0).await.unwrap();
    let first = due(&store, "one", T0).await.remove(0);
    store.postponed(first.entry, "it would not work", 5, T0).await.unwrap();
    store.discarded(first.entry).await.unwrap();
    assert_eq!(ids(&due(&store, "one", T0).await), ["hall.2"]);
    store.receive("one", vec![delivered(&hall(), 1)], T0).await.unwrap();
    let again = due(&store, "one", T0).await;
    assert_eq!((ids(&again), again[1].attempts), (vec!["hall.2", "hall.1"], 0));
}

pub async fn what_was_handled_is_forgotten_in_time(store: Store) {
    store.add_concert(concert("c", 1), T0).await.unwrap();
    let of = |seqs: &[u64]| seqs.iter().map(|seq| delivered(&hall(), *seq)).collect::<Vec<_>>();
    store.receive("one", of(&[1, 2, 3]), T0).await.unwrap();
    let entries = due(&store, "one", T0).await;
    store.handled(vec![entries[0].entry, entries[1].entry], T0).await.unwrap();
    while store.prune(T0, T0, 1).await.unwrap() {}
    store.receive("one", of(&[1]), T0).await.unwrap();
    assert_eq!(ids(&due(&store, "one", T0).await), ["hall.3"]);
    while store.prune(T0.plus_seconds(1), T0, 1).await.unwrap() {}
    store.receive("one", of(&[1]), T0).await.unwrap();
    assert_eq!(ids(&due(&store, "one", T0).await), ["hall.3", "hall.1"], "what was not handled is kept");
}
