//! Seats and who holds them.

use std::sync::Arc;

use super::{charge, hall, hold, hold_wish, key, open_shop, own_wish, pay, seat, try_hold, visitor};
use crate::contract::T0;
use crate::ports::ReservationStore;
use crate::ports::reservations::{Answered, Caller, GiveBackOutcome, HoldOutcome, HoldWish, Operation};
use crate::reservation::{Hold, HoldEnd, Owner, SeatState};
use crate::words::RoomId;

type Store = Arc<dyn ReservationStore>;

pub async fn a_seat_is_held_by_one(store: Store) {
    open_shop(&*store, 3).await;
    let (ann, bob) = (visitor(1), visitor(2));
    let reservation = hold(&*store, &ann, "A2").await;
    assert_eq!(reservation.hold, Hold::Held { expires_at: ann.expires_at });
    assert_eq!((reservation.amount_minor, reservation.number), (super::PRICE, 1));
    assert_eq!(try_hold(&*store, &bob, "A2", T0).await, HoldOutcome::SeatTaken);
    assert_eq!(seat(&*store, 1, T0).await, SeatState::Held);
    assert_eq!(seat(&*store, 0, T0).await, SeatState::Free);
}

pub async fn a_hold_that_ran_out_makes_room_before_any_sweep(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    hold(&*store, &ann, "A1").await;
    let bob = super::Slot { expires_at: T0.plus_seconds(900), ..visitor(2) };
    let at = ann.expires_at;
    assert_eq!(try_hold(&*store, &bob, "A1", at.minus_millis(1)).await, HoldOutcome::SeatTaken);
    assert_eq!(seat(&*store, 0, at).await, SeatState::Free);
    assert!(matches!(try_hold(&*store, &bob, "A1", at).await, HoldOutcome::Held(_)));
    let over = store.reservation(&ann.owner, "r-1-A1").await.unwrap().unwrap();
    assert_eq!(over.hold, Hold::Released { reason: HoldEnd::Expired });
}

pub async fn holds_are_limited_a_slot(store: Store) {
    open_shop(&*store, 4).await;
    let ann = visitor(1);
    hold(&*store, &ann, "A1").await;
    hold(&*store, &ann, "A2").await;
    assert_eq!(try_hold(&*store, &ann, "A3", T0).await, HoldOutcome::Limit);
    hold(&*store, &visitor(2), "A3").await;
    store.give_back(own_wish(&ann, "r-1-A1"), T0).await.unwrap();
    hold(&*store, &ann, "A4").await;
}

pub async fn holds_last_and_end_with_their_slot(store: Store) {
    open_shop(&*store, 3).await;
    let ann = visitor(1);
    hold(&*store, &ann, "A1").await;
    hold(&*store, &visitor(2), "A2").await;
    let longer = T0.plus_seconds(600);
    for _ in 0..2 {
        store.extend_slot(&hall(), 1, longer, T0).await.unwrap();
    }
    // A late repeat of an older renewal takes nothing back.
    store.extend_slot(&hall(), 1, T0.plus_seconds(400), T0).await.unwrap();
    assert_eq!(seat(&*store, 0, longer.minus_millis(1)).await, SeatState::Held);
    assert_eq!(seat(&*store, 1, longer.minus_millis(1)).await, SeatState::Free);
    assert_eq!(store.sweep(T0.plus_seconds(599), 10).await.unwrap(), ["c-1"]);
    assert!(store.sweep(T0.plus_seconds(599), 10).await.unwrap().is_empty());
    assert_eq!(store.end_slot(&hall(), 1, T0).await.unwrap(), ["c-1"]);
    assert!(store.end_slot(&hall(), 1, T0).await.unwrap().is_empty());
    assert!(store.taken("c-1", T0).await.unwrap().is_empty());
    let ended = store.reservation(&ann.owner, "r-1-A1").await.unwrap().unwrap();
    assert_eq!(ended.hold, Hold::Released { reason: HoldEnd::SlotEnded });
}

/// A call that was on its way when the slot ended comes too late.
pub async fn an_ended_slot_opens_nothing(store: Store) {
    open_shop(&*store, 2).await;
    let ann = visitor(1);
    store.end_slot(&hall(), 1, T0).await.unwrap();
    assert_eq!(try_hold(&*store, &ann, "A1", T0).await, HoldOutcome::SlotEnded);
    let late = visitor(2);
    assert_eq!(try_hold(&*store, &late, "A1", late.expires_at).await, HoldOutcome::SlotEnded);
    let elsewhere = RoomId::parse("elsewhere").unwrap();
    store.end_slot(&elsewhere, 3, T0).await.unwrap();
    hold(&*store, &visitor(3), "A1").await;
}

pub async fn a_call_from_outside_only_repeats(store: Store) {
    open_shop(&*store, 2).await;
    let ann = visitor(1);
    let wish = HoldWish { key: Some(key(Operation::Hold, "k", "A1")), ..hold_wish(&ann, "A1") };
    let Answered::Now(first) = store.hold(wish.clone(), T0).await.unwrap() else { panic!("a fresh key") };
    store.end_slot(&hall(), 1, T0).await.unwrap();
    let outside = HoldWish { caller: Caller::Outside(ann.owner.clone()), ..wish };
    assert_eq!(store.hold(outside.clone(), T0).await.unwrap(), Answered::Before(first));
    let new = HoldWish { key: Some(key(Operation::Hold, "k2", "A1")), ..outside };
    assert_eq!(store.hold(new, T0).await.unwrap(), Answered::Now(HoldOutcome::SlotEnded));
}

pub async fn giving_back_twice_frees_the_seat_once(store: Store) {
    open_shop(&*store, 1).await;
    let (ann, bob) = (visitor(1), visitor(2));
    hold(&*store, &ann, "A1").await;
    let over = Answered::Now(GiveBackOutcome::Over { performance_id: "c-1".to_owned() });
    assert_eq!(store.give_back(own_wish(&ann, "r-1-A1"), T0).await.unwrap(), over);
    hold(&*store, &bob, "A1").await;
    // Ann's repeat does not touch what is Bob's by now.
    assert_eq!(store.give_back(own_wish(&ann, "r-1-A1"), T0).await.unwrap(), over);
    assert_eq!(seat(&*store, 0, T0).await, SeatState::Held);
    let foreign = store.give_back(own_wish(&ann, "r-2-A1"), T0).await.unwrap();
    assert_eq!(foreign, Answered::Now(GiveBackOutcome::Unknown));
}

pub async fn what_is_not_there_is_named(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    let ask = async |performance: &str, seat: &str, room: &str| {
        let mut wish = hold_wish(&ann, seat);
        wish.performance_id = performance.to_owned();
        if let Caller::Inside(slot) = &mut wish.caller {
            slot.owner.room = RoomId::parse(room).unwrap();
        }
        store.hold(wish, T0).await.unwrap()
    };
    assert_eq!(ask("c-2", "A1", "hall").await, Answered::Now(HoldOutcome::UnknownPerformance));
    assert_eq!(ask("c-1", "A2", "hall").await, Answered::Now(HoldOutcome::UnknownSeat));
    assert_eq!(ask("c-1", "A1", "other").await, Answered::Now(HoldOutcome::WrongRoom));
    assert_eq!(store.reservation(&ann.owner, "nothing").await.unwrap(), None);
    assert!(store.seat_plan("c-2").await.unwrap().is_none());
    assert!(store.dates("d", T0).await.unwrap().is_none());
}

pub async fn what_others_own_is_not_there(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    charge(&*store, &ann, "ch", super::PRICE).await;
    let reservation = hold(&*store, &ann, "A1").await;
    let payment = pay(&*store, &ann, "p", &reservation.reservation_id).await;
    let same_sub_elsewhere = Owner { room: RoomId::parse("elsewhere").unwrap(), sub: ann.owner.sub.clone() };
    for other in [visitor(2).owner, same_sub_elsewhere] {
        assert_eq!(store.reservation(&other, &reservation.reservation_id).await.unwrap(), None);
        assert_eq!(store.payment(&other, &payment.payment_id).await.unwrap(), None);
        assert_eq!(store.balance(&other).await.unwrap().amount_minor, 0);
    }
}

pub async fn a_repeated_hold_is_the_same_hold(store: Store) {
    open_shop(&*store, 3).await;
    let (ann, bob) = (visitor(1), visitor(2));
    let wish = HoldWish { key: Some(key(Operation::Hold, "k", "A1")), ..hold_wish(&ann, "A1") };
    let Answered::Now(first) = store.hold(wish.clone(), T0).await.unwrap() else { panic!("a fresh key") };
    let again = HoldWish { reservation_id: "another-id".to_owned(), ..wish.clone() };
    assert_eq!(store.hold(again, T0).await.unwrap(), Answered::Before(first));
    let other = HoldWish { key: Some(key(Operation::Hold, "k", "A2")), ..hold_wish(&ann, "A2") };
    assert_eq!(store.hold(other, T0).await.unwrap(), Answered::OtherBody);
    // A key is its owner's own, and a refusal is not kept under it.
    let bobs = HoldWish { key: wish.key, ..hold_wish(&bob, "A1") };
    assert_eq!(store.hold(bobs.clone(), T0).await.unwrap(), Answered::Now(HoldOutcome::SeatTaken));
    store.give_back(own_wish(&ann, "r-1-A1"), T0).await.unwrap();
    assert!(matches!(store.hold(bobs, T0).await.unwrap(), Answered::Now(HoldOutcome::Held(_))));
}
