//! What is for sale, histories, and what is kept for how long.

use std::sync::Arc;

use super::{PRICE, charge, concert, hall, hold, kind, open_shop, pay, told, told_kinds, try_pay, visitor};
use crate::contract::T0;
use crate::ports::ReservationStore;
use crate::ports::reservations::{Added, Answered, ConcertRow, Entry, Page, PageRange};
use crate::reservation::{Currency, EntryKind, Payment};
use crate::words::RoomId;

type Store = Arc<dyn ReservationStore>;

pub async fn a_concert_is_fixed_once_added(store: Store) {
    assert_eq!(store.add_concert(concert("c", 3), T0).await.unwrap(), Added::New);
    let later = T0.plus_seconds(9);
    assert_eq!(store.add_concert(concert("c", 3), later).await.unwrap(), Added::Already);
    assert_eq!(store.add_concert(concert("c", 4), T0).await.unwrap(), Added::Different);
    let mut thief = concert("d", 3);
    thief.performances[0].performance_id = "c-1".to_owned();
    let taken = Added::PerformanceTaken("c-1".to_owned());
    assert_eq!(store.add_concert(thief, T0).await.unwrap(), taken);
    let plan = store.seat_plan("c-1").await.unwrap().unwrap();
    assert_eq!((plan.concert_id.as_str(), &plan.room, plan.currency), ("c", &hall(), Currency::DEFAULT));
    assert_eq!(plan.seats, concert("c", 3).performances[0].seats);
}

pub async fn a_room_sells_in_one_currency(store: Store) {
    let francs = Currency::parse("CHF").unwrap();
    let in_francs = |id: &str, room: &str| {
        let room = RoomId::parse(room).unwrap();
        super::Concert { currency: francs, room, ..concert(id, 1) }
    };
    assert_eq!(store.balance(&visitor(1).owner).await.unwrap().currency, Currency::DEFAULT);
    assert_eq!(store.add_concert(in_francs("c", "hall"), T0).await.unwrap(), Added::New);
    assert_eq!(store.balance(&visitor(1).owner).await.unwrap().currency, francs);
    let other = store.add_concert(concert("d", 1), T0).await.unwrap();
    assert_eq!(other, Added::OtherCurrency(francs));
    let elsewhere = super::Concert { room: RoomId::parse("tent").unwrap(), ..concert("e", 1) };
    assert_eq!(store.add_concert(elsewhere, T0).await.unwrap(), Added::New);
}

pub async fn concerts_come_in_pages(store: Store) {
    for id in ["c", "a", "b"] {
        store.add_concert(concert(id, 1), T0).await.unwrap();
    }
    let ids = |page: &Page<_>| page.items.iter().map(|one: &ConcertRow| one.id.clone()).collect::<Vec<_>>();
    let first = store.concerts(PageRange { after: None, limit: 2 }).await.unwrap();
    assert_eq!(ids(&first), ["c", "a"]);
    let second = store.concerts(PageRange { after: first.next, limit: 2 }).await.unwrap();
    assert_eq!((ids(&second), second.next), (vec!["b".to_owned()], None));
    let all = store.concerts(PageRange { after: None, limit: 3 }).await.unwrap();
    assert_eq!((all.items.len(), all.next), (3, None));
}

pub async fn dates_count_what_is_free(store: Store) {
    let mut two = concert("c", 4);
    let mut again = two.performances[0].clone();
    again.performance_id = "c-0".to_owned();
    two.performances.push(again);
    store.add_concert(two, T0).await.unwrap();
    let ann = visitor(1);
    charge(&*store, &ann, "ch", PRICE).await;
    hold(&*store, &visitor(2), "A4").await;
    let paid = hold(&*store, &ann, "A1").await;
    pay(&*store, &ann, "p", &paid.reservation_id).await;
    let dates = store.dates("c", T0).await.unwrap().unwrap();
    let free: Vec<_> = dates.iter().map(|date| (date.performance_id.as_str(), date.free)).collect();
    assert_eq!(free, [("c-1", 2), ("c-0", 4)]);
    assert_eq!(dates[0].starts_at, T0.plus_seconds(86_400));
    // The hold's time is over; the sold seat stays sold.
    assert_eq!(store.dates("c", T0.plus_seconds(300)).await.unwrap().unwrap()[0].free, 3);
}

pub async fn a_history_comes_in_pages_newest_first(store: Store) {
    open_shop(&*store, 3).await;
    let ann = visitor(1);
    let reservation = hold(&*store, &ann, "A1").await.reservation_id;
    try_pay(&*store, &ann, "p1", &reservation, T0).await;
    charge(&*store, &ann, "ch", PRICE).await;
    pay(&*store, &ann, "p2", &reservation).await;
    charge(&*store, &visitor(2), "other", 1).await;
    let one = |after| PageRange { after, limit: 1 };
    let first = store.payments(&ann.owner, one(None)).await.unwrap();
    let second = store.payments(&ann.owner, one(first.next)).await.unwrap();
    assert_eq!((first.items[0].payment, second.items[0].payment_id.as_str()), (Payment::Completed, "p1"));
    assert_eq!(second.next, None);
    let first = store.ledger(&ann.owner, one(None)).await.unwrap();
    let second = store.ledger(&ann.owner, one(first.next)).await.unwrap();
    let line = |page: &Page<Entry>| (page.items[0].kind, page.items[0].amount_minor);
    assert_eq!((line(&first), line(&second)), ((EntryKind::Payment, -PRICE), (EntryKind::Charge, PRICE)));
    assert_eq!((first.items[0].reference.as_str(), second.next), ("p2", None));
}

pub async fn the_outbox_tells_in_order_until_it_was_told(store: Store) {
    open_shop(&*store, 2).await;
    for number in [1, 2] {
        let slot = visitor(number);
        charge(&*store, &slot, &format!("ch-{number}"), PRICE).await;
        let reservation = hold(&*store, &slot, &format!("A{number}")).await.reservation_id;
        try_pay(&*store, &slot, &format!("p-{number}"), &reservation, T0).await;
    }
    let first = store.outbox(1).await.unwrap();
    store.published(first.part, Vec::new(), T0).await.unwrap();
    assert_eq!(first, store.outbox(1).await.unwrap(), "nothing is told by being read");
    store.published(first.part, vec![first.entries[0].entry], T0).await.unwrap();
    assert_eq!(kind(&first.entries[0].record.event), "ReservationHeld");
    let second = store.outbox(10).await.unwrap();
    store.published(second.part, Vec::new(), T0).await.unwrap();
    assert!(second.entries.iter().all(|entry| entry.entry > first.entries[0].entry));
    assert!(second.entries.is_sorted_by_key(|entry| entry.entry));
    let rest = ["PaymentCompleted", "ReservationConfirmed"];
    let whole = [&rest[..], &["ReservationHeld"], &rest].concat();
    assert_eq!(told_kinds(&*store).await, whole);
    assert!(told(&*store).await.is_empty());
}

pub async fn what_was_told_is_told_again_when_asked(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    charge(&*store, &ann, "ch", PRICE).await;
    let reservation = hold(&*store, &ann, "A1").await.reservation_id;
    pay(&*store, &ann, "p", &reservation).await;
    let first = told(&*store).await;
    let other = RoomId::parse("another-room").unwrap();
    assert_eq!(store.retell(&other, T0).await.unwrap(), 0);
    assert_eq!(store.retell(&hall(), T0.plus_seconds(1)).await.unwrap(), 0);
    assert!(told(&*store).await.is_empty());
    assert_eq!(store.retell(&hall(), T0).await.unwrap(), first.len() as u64);
    assert_eq!(told(&*store).await, first);
}

pub async fn what_is_old_is_forgotten(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    charge(&*store, &ann, "ch", PRICE).await;
    let wish = super::charge_wish(&ann, "ch", PRICE);
    assert!(matches!(store.charge(wish.clone(), T0).await.unwrap(), Answered::Before(_)));
    let reservation = hold(&*store, &ann, "A1").await.reservation_id;
    pay(&*store, &ann, "p", &reservation).await;
    while store.prune(T0.plus_seconds(1), T0, 10).await.unwrap() {}
    let story = ["ReservationHeld", "PaymentCompleted", "ReservationConfirmed"];
    assert_eq!(told_kinds(&*store).await, story, "what was not told is not forgotten");
    assert!(matches!(store.charge(wish.clone(), T0).await.unwrap(), Answered::Before(_)));
    while store.prune(T0, T0.plus_seconds(1), 1).await.unwrap() {}
    let forgotten = super::ChargeWish { charge_id: "ch2".to_owned(), ..wish };
    assert!(matches!(store.charge(forgotten, T0).await.unwrap(), Answered::Now(_)));
}
