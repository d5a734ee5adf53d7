//! Money for seats, and back.

use std::sync::Arc;

use super::{
    PRICE, balance, charge, charge_wish, hall, hold, kind, kinds, open_shop, own_wish, pay, pay_wish, seat,
    told, told_kinds, try_hold, try_pay, visitor,
};
use crate::contract::T0;
use crate::event::{Event, PaymentFact, PaymentRef, ReplyFact, ReservationFact};
use crate::ports::ReservationStore;
use crate::ports::reservations::{
    Answered, Caller, CancelOutcome, ChargeOutcome, Compensated, GiveBackOutcome, HoldOutcome, Operation,
    PageRange, PayOutcome, PayWish,
};
use crate::reservation::money::BALANCE_MAX;
use crate::reservation::payment::Refusal as NoCancel;
use crate::reservation::{Failure, Hold, Payment, SeatState, Slot, hold as holds};

type Store = Arc<dyn ReservationStore>;

/// A visitor with the price of a seat and that seat held.
async fn buyer(store: &Store, number: u64, seat: &str) -> (Slot, String) {
    let slot = visitor(number);
    charge(&**store, &slot, &format!("ch-{number}"), PRICE).await;
    let reservation = hold(&**store, &slot, seat).await;
    (slot, reservation.reservation_id)
}

async fn asked_to_cancel(store: &Store, slot: &Slot, payment_id: &str) -> PaymentRef {
    let answer = store.request_cancel(own_wish(slot, payment_id), T0).await.unwrap();
    let Answered::Now(CancelOutcome::Accepted(row)) = answer else { panic!("not accepted: {answer:?}") };
    row.facts(&hall())
}

pub async fn a_payment_takes_the_price_and_confirms(store: Store) {
    open_shop(&*store, 2).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    let row = pay(&*store, &ann, "p", &reservation).await;
    assert_eq!((row.payment, row.amount_minor, row.number), (Payment::Completed, PRICE, 1));
    assert_eq!(balance(&*store, &ann).await, 0);
    assert_eq!(seat(&*store, 0, T0.plus_seconds(9_999)).await, SeatState::Sold);
    let confirmed = store.reservation(&ann.owner, &reservation).await.unwrap().unwrap();
    assert_eq!((confirmed.hold, confirmed.payment_id.as_deref()), (Hold::Confirmed, Some("p")));
    assert_eq!(store.payment(&ann.owner, "p").await.unwrap(), Some(row.clone()));
    let events = told(&*store).await;
    assert_eq!(kinds(&events), ["ReservationHeld", "PaymentCompleted", "ReservationConfirmed"]);
    assert_eq!(events[1].event, Event::Payment(PaymentFact::PaymentCompleted(row.facts(&hall()))));
    let (reservation, payment_id) = (confirmed.facts(), "p".to_owned());
    let fact = ReservationFact::ReservationConfirmed { reservation, payment_id };
    assert_eq!(events[2].event, Event::Reservation(fact));
    assert!(events.iter().all(|told| (&told.room, told.at) == (&hall(), T0)));
}

pub async fn a_payment_ends_the_slot_and_its_other_holds(store: Store) {
    open_shop(&*store, 3).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    let other = hold(&*store, &ann, "A2").await;
    pay(&*store, &ann, "p", &reservation).await;
    assert_eq!(seat(&*store, 1, T0).await, SeatState::Free);
    let second = try_pay(&*store, &ann, "p2", &other.reservation_id, T0).await;
    assert_eq!(second, PayOutcome::SlotEnded);
    assert_eq!(try_hold(&*store, &ann, "A3", T0).await, HoldOutcome::SlotEnded);
    assert!(store.end_slot(&hall(), 1, T0).await.unwrap().is_empty());
    assert_eq!(seat(&*store, 0, T0).await, SeatState::Sold);
}

pub async fn a_payment_without_money_fails_and_the_hold_stays(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    let reservation = hold(&*store, &ann, "A1").await.reservation_id;
    charge(&*store, &ann, "ch", PRICE - 1).await;
    let first = try_pay(&*store, &ann, "p", &reservation, T0).await;
    let PayOutcome::Failed(row, Failure::InsufficientBalance) = &first else { panic!("{first:?}") };
    assert_eq!(row.payment, Payment::Failed { reason: Failure::InsufficientBalance });
    assert_eq!(balance(&*store, &ann).await, PRICE - 1);
    assert_eq!(seat(&*store, 0, T0).await, SeatState::Held);
    assert_eq!(told_kinds(&*store).await, ["ReservationHeld", "PaymentFailed"]);
    // The same key says the same even when there is money by now; a new key tries again.
    charge(&*store, &ann, "ch2", 1).await;
    let again = store.pay(pay_wish(&ann, "p", &reservation), T0).await.unwrap();
    assert_eq!(again, Answered::Before(first));
    pay(&*store, &ann, "p2", &reservation).await;
    assert_eq!(balance(&*store, &ann).await, 0);
}

pub async fn a_late_payment_fails_and_takes_nothing(store: Store) {
    open_shop(&*store, 2).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    store.give_back(own_wish(&ann, &reservation), T0).await.unwrap();
    let over = try_pay(&*store, &ann, "p", &reservation, T0).await;
    assert!(matches!(over, PayOutcome::Failed(_, Failure::HoldExpired)), "{over:?}");
    // A seat held in a former slot: its time is its own, whatever the new slot's is.
    let (bob, reservation) = buyer(&store, 2, "A2").await;
    let at = bob.expires_at;
    let returned = Slot { number: 3, expires_at: at.plus_seconds(300), ..bob.clone() };
    let late = try_pay(&*store, &returned, "p2", &reservation, at).await;
    assert!(matches!(late, PayOutcome::Failed(_, Failure::HoldExpired)), "{late:?}");
    assert_eq!((balance(&*store, &ann).await, balance(&*store, &bob).await), (PRICE, PRICE));
    let story =
        ["ReservationHeld", "ReservationReleased", "PaymentFailed", "ReservationHeld", "PaymentFailed"];
    assert_eq!(told_kinds(&*store).await, story);
}

pub async fn a_renewal_on_its_way_counts_for_a_payment(store: Store) {
    open_shop(&*store, 1).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    let renewed = Slot { expires_at: T0.plus_seconds(600), ..ann.clone() };
    let outcome = try_pay(&*store, &renewed, "p", &reservation, ann.expires_at).await;
    assert!(matches!(outcome, PayOutcome::Completed(_)), "{outcome:?}");
}

pub async fn a_repeated_payment_is_the_same_payment(store: Store) {
    open_shop(&*store, 2).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    let other = hold(&*store, &ann, "A2").await.reservation_id;
    charge(&*store, &ann, "more", PRICE).await;
    let wish = pay_wish(&ann, "p", &reservation);
    let Answered::Now(first) = store.pay(wish.clone(), T0).await.unwrap() else { panic!("a fresh key") };
    let outside = Caller::Outside(ann.owner.clone());
    let again = PayWish { payment_id: "p-again".to_owned(), caller: outside.clone(), ..wish.clone() };
    assert_eq!(store.pay(again, T0).await.unwrap(), Answered::Before(first));
    let body = super::key(Operation::Pay, "p", &other);
    let changed = PayWish { caller: outside, reservation_id: other, key: body, ..wish };
    assert_eq!(store.pay(changed, T0).await.unwrap(), Answered::OtherBody);
    assert_eq!(balance(&*store, &ann).await, PRICE);
    let held = ["ReservationHeld", "ReservationHeld"];
    let paid = ["PaymentCompleted", "ReservationConfirmed", "ReservationReleased"];
    assert_eq!(told_kinds(&*store).await, [&held[..], &paid[..]].concat());
}

pub async fn a_confirmed_seat_is_not_given_back(store: Store) {
    open_shop(&*store, 1).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    pay(&*store, &ann, "p", &reservation).await;
    let refused = Answered::Now(GiveBackOutcome::Refused(holds::Refusal::Confirmed));
    assert_eq!(store.give_back(own_wish(&ann, &reservation), T0).await.unwrap(), refused);
    let returned = Slot { number: 2, ..ann };
    let twice = try_pay(&*store, &returned, "p2", &reservation, T0).await;
    assert_eq!(twice, PayOutcome::Refused(holds::Refusal::Confirmed));
}

pub async fn a_cancellation_gives_money_and_seat_back_once(store: Store) {
    open_shop(&*store, 1).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    pay(&*store, &ann, "p", &reservation).await;
    let asked = asked_to_cancel(&store, &ann, "p").await;
    assert_eq!(store.payment(&ann.owner, "p").await.unwrap().unwrap().payment, Payment::Cancelling);
    assert_eq!(seat(&*store, 0, T0).await, SeatState::Sold);
    let done = Compensated::Done { performance_id: "c-1".to_owned() };
    assert_eq!(store.compensate(&asked, T0).await.unwrap(), done);
    assert_eq!(store.compensate(&asked, T0).await.unwrap(), Compensated::Already);
    assert_eq!(store.payment(&ann.owner, "p").await.unwrap().unwrap().payment, Payment::Cancelled);
    let cancelled = store.reservation(&ann.owner, &reservation).await.unwrap().unwrap();
    assert_eq!(cancelled.hold, Hold::Cancelled);
    assert_eq!(balance(&*store, &ann).await, PRICE);
    assert_eq!(
        told_kinds(&*store).await,
        [
            "ReservationHeld",
            "PaymentCompleted",
            "ReservationConfirmed",
            "CancelPaymentRequested",
            "ReservationCancelled",
            "PaymentCancelled",
            "PaymentCancellationSucceeded"
        ]
    );
    // Asking again is answered as it stands, and tells nothing more.
    asked_to_cancel(&store, &ann, "p").await;
    assert!(told(&*store).await.is_empty());
    hold(&*store, &visitor(2), "A1").await;
}

pub async fn a_failed_payment_cannot_be_cancelled(store: Store) {
    open_shop(&*store, 1).await;
    let ann = visitor(1);
    let reservation = hold(&*store, &ann, "A1").await.reservation_id;
    try_pay(&*store, &ann, "p", &reservation, T0).await;
    let refused = Answered::Now(CancelOutcome::Refused(NoCancel::NothingPaid));
    assert_eq!(store.request_cancel(own_wish(&ann, "p"), T0).await.unwrap(), refused);
    let unknown = store.request_cancel(own_wish(&visitor(2), "p"), T0).await.unwrap();
    assert_eq!(unknown, Answered::Now(CancelOutcome::Unknown));
}

pub async fn a_compensation_nobody_asked_for_is_refused(store: Store) {
    open_shop(&*store, 1).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    let facts = pay(&*store, &ann, "p", &reservation).await.facts(&hall());
    told(&*store).await;
    for _ in 0..2 {
        let refused = Compensated::Refused(NoCancel::NotRequested);
        assert_eq!(store.compensate(&facts, T0).await.unwrap(), refused);
    }
    let nothing = PaymentRef { payment_id: "nothing".to_owned(), ..facts };
    assert_eq!(store.compensate(&nothing, T0).await.unwrap(), Compensated::Unknown);
    let replies = told(&*store).await;
    let reasons: Vec<_> = replies
        .iter()
        .map(|record| match &record.event {
            Event::Reply(ReplyFact::PaymentCancellationFailed { payment, reason }) => {
                (payment.payment_id.as_str(), reason.as_str())
            }
            other => panic!("{} is no refusal", kind(other)),
        })
        .collect();
    assert_eq!(reasons, [("p", "not_requested"), ("nothing", "unknown_payment")]);
    assert_eq!(balance(&*store, &ann).await, 0);
    assert_eq!(seat(&*store, 0, T0).await, SeatState::Sold);
}

pub async fn a_stuck_cancellation_is_asked_for_again(store: Store) {
    open_shop(&*store, 1).await;
    let (ann, reservation) = buyer(&store, 1, "A1").await;
    pay(&*store, &ann, "p", &reservation).await;
    let asked = asked_to_cancel(&store, &ann, "p").await;
    told(&*store).await;
    assert_eq!(store.recall_cancellations(T0, 10, T0).await.unwrap(), 0);
    let later = T0.plus_seconds(30);
    assert_eq!(store.recall_cancellations(later, 10, later).await.unwrap(), 1);
    assert_eq!(store.recall_cancellations(later, 10, later).await.unwrap(), 0);
    assert_eq!(told_kinds(&*store).await, ["CancelPaymentRequested"]);
    store.compensate(&asked, later).await.unwrap();
    let long_after = T0.plus_seconds(999);
    assert_eq!(store.recall_cancellations(long_after, 10, long_after).await.unwrap(), 0);
}

pub async fn a_charge_counts_once_and_is_bounded(store: Store) {
    let ann = visitor(1);
    let wish = charge_wish(&ann, "ch", 700);
    let Answered::Now(first) = store.charge(wish.clone(), T0).await.unwrap() else { panic!("a fresh key") };
    assert_eq!(store.charge(wish, T0).await.unwrap(), Answered::Before(first));
    let other =
        super::ChargeWish { key: super::key(Operation::Charge, "ch", "701"), ..charge_wish(&ann, "x", 701) };
    assert_eq!(store.charge(other, T0).await.unwrap(), Answered::OtherBody);
    assert_eq!(balance(&*store, &ann).await, 700);
    let too_much = charge_wish(&ann, "huge", BALANCE_MAX);
    assert_eq!(store.charge(too_much, T0).await.unwrap(), Answered::Now(ChargeOutcome::TooMuch));
    store.end_slot(&hall(), 1, T0).await.unwrap();
    let late = charge_wish(&ann, "late", 1);
    assert_eq!(store.charge(late, T0).await.unwrap(), Answered::Now(ChargeOutcome::SlotEnded));
    let ledger = store.ledger(&ann.owner, PageRange { after: None, limit: 10 }).await.unwrap();
    assert_eq!(ledger.items.len(), 1);
    assert_eq!((ledger.items[0].reference.as_str(), ledger.items[0].at), ("ch", T0));
}
