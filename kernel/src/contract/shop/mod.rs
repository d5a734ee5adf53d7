//! What every reservation store has to do, written once. A backend adopts all of it with one line,
//! `kernel::reservation_store_contract!(make_store)`.

pub mod holds;
pub mod inbox;
pub mod lists;
pub mod model;
pub mod payments;

use crate::contract::T0;
use crate::event::{Event, Record};
use crate::ports::ReservationStore;
use crate::ports::reservations::{
    Added, Answered, CallKey, Caller, ChargeOutcome, ChargeWish, HoldOutcome, HoldWish, Operation,
    OutboxBatch, OwnWish, PageRange, PayOutcome, PayWish, PaymentRow, Reservation,
};
use crate::reservation::concert::rows_of_seats;
use crate::reservation::{Concert, Currency, Owner, Performance, SeatState, Slot};
use crate::words::{Digest, Number, RoomId, Timestamp};

/// Minor units of every seat.
pub(crate) const PRICE: i64 = 5_000;
pub(crate) const MAX_HOLDS: u64 = 2;

/// One test a case. `$make` is an async function that answers `(Arc<dyn ReservationStore>, kept)`: an empty
/// store, and what has to live as long as the store does.
#[macro_export]
macro_rules! reservation_store_contract {
    ($make:path) => {
        $crate::reservation_store_contract!(@cases $make, holds: [
            a_seat_is_held_by_one,
            a_hold_that_ran_out_makes_room_before_any_sweep,
            holds_are_limited_a_slot,
            holds_last_and_end_with_their_slot,
            an_ended_slot_opens_nothing,
            a_call_from_outside_only_repeats,
            giving_back_twice_frees_the_seat_once,
            what_is_not_there_is_named,
            what_others_own_is_not_there,
            a_repeated_hold_is_the_same_hold,
        ]);
        $crate::reservation_store_contract!(@cases $make, payments: [
            a_payment_takes_the_price_and_confirms,
            a_payment_ends_the_slot_and_its_other_holds,
            a_payment_without_money_fails_and_the_hold_stays,
            a_late_payment_fails_and_takes_nothing,
            a_renewal_on_its_way_counts_for_a_payment,
            a_repeated_payment_is_the_same_payment,
            a_confirmed_seat_is_not_given_back,
            a_cancellation_gives_money_and_seat_back_once,
            a_failed_payment_cannot_be_cancelled,
            a_compensation_nobody_asked_for_is_refused,
            a_stuck_cancellation_is_asked_for_again,
            a_charge_counts_once_and_is_bounded,
        ]);
        $crate::reservation_store_contract!(@cases $make, lists: [
            a_concert_is_fixed_once_added,
            a_room_sells_in_one_currency,
            concerts_come_in_pages,
            dates_count_what_is_free,
            a_history_comes_in_pages_newest_first,
            the_outbox_tells_in_order_until_it_was_told,
            what_was_told_is_told_again_when_asked,
            what_is_old_is_forgotten,
        ]);

        $crate::reservation_store_contract!(@cases $make, inbox: [
            what_is_received_twice_is_worked_once,
            what_failed_waits_and_its_room_with_it,
            what_was_set_aside_comes_anew_when_it_is_put_back,
            what_was_handled_is_forgotten_in_time,
        ]);

        #[tokio::test]
        async fn money_and_seats_agree_whatever_happens() {
            for seed in 0..16 {
                let (store, _kept) = $make().await;
                $crate::contract::shop::model::agrees_with_a_simple_shop(store, seed).await;
            }
        }
    };
    (@cases $make:path, $group:ident: [$($case:ident,)*]) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (store, _kept) = $make().await;
                $crate::contract::shop::$group::$case(store).await;
            }
        )*
    };
}

pub(crate) fn hall() -> RoomId {
    RoomId::parse("hall").unwrap()
}

/// A concert in room `hall` of one performance `{id}-1` with `seats` seats A1, A2 and so on.
pub fn concert(id: &str, seats: usize) -> Concert {
    Concert {
        id: id.to_owned(),
        title: format!("Concert {id}"),
        room: hall(),
        currency: Currency::DEFAULT,
        performances: vec![Performance {
            performance_id: format!("{id}-1"),
            starts_at: T0.plus_seconds(86_400),
            seats: rows_of_seats(seats, PRICE),
        }],
    }
}

pub(crate) async fn open_shop(store: &dyn ReservationStore, seats: usize) {
    assert_eq!(store.add_concert(concert("c", seats), T0).await.unwrap(), Added::New);
}

/// The visitor of a number, inside for 300 seconds from the beginning.
pub fn visitor(number: Number) -> Slot {
    let owner = Owner { room: hall(), sub: format!("t:{number}") };
    Slot { owner, number, expires_at: T0.plus_seconds(300) }
}

pub(crate) fn key(operation: Operation, key: &str, body: &str) -> CallKey {
    CallKey { operation, key: key.to_owned(), body: Digest::of(&[body.as_bytes()]) }
}

/// A wish to hold a seat of performance `c-1`; its reservation is named after visitor and seat.
pub fn hold_wish(slot: &Slot, seat: &str) -> HoldWish {
    HoldWish {
        caller: Caller::Inside(slot.clone()),
        reservation_id: format!("r-{}-{seat}", slot.number),
        performance_id: "c-1".to_owned(),
        seat_id: seat.to_owned(),
        max_holds: MAX_HOLDS,
        key: None,
        traceparent: None,
    }
}

pub(crate) async fn try_hold(
    store: &dyn ReservationStore,
    slot: &Slot,
    seat: &str,
    now: Timestamp,
) -> HoldOutcome {
    match store.hold(hold_wish(slot, seat), now).await.unwrap() {
        Answered::Now(outcome) => outcome,
        other => panic!("a hold without a key was answered {other:?}"),
    }
}

pub(crate) async fn hold(store: &dyn ReservationStore, slot: &Slot, seat: &str) -> Reservation {
    match try_hold(store, slot, seat, T0).await {
        HoldOutcome::Held(reservation) => reservation,
        other => panic!("seat {seat} was not held: {other:?}"),
    }
}

/// A wish to pay, under the key of its own id.
pub fn pay_wish(slot: &Slot, payment_id: &str, reservation_id: &str) -> PayWish {
    PayWish {
        caller: Caller::Inside(slot.clone()),
        payment_id: payment_id.to_owned(),
        reservation_id: reservation_id.to_owned(),
        key: key(Operation::Pay, payment_id, reservation_id),
        traceparent: None,
    }
}

pub(crate) async fn try_pay(
    store: &dyn ReservationStore,
    slot: &Slot,
    payment_id: &str,
    reservation_id: &str,
    now: Timestamp,
) -> PayOutcome {
    match store.pay(pay_wish(slot, payment_id, reservation_id), now).await.unwrap() {
        Answered::Now(outcome) | Answered::Before(outcome) => outcome,
        Answered::OtherBody => panic!("the key of {payment_id} was used before"),
    }
}

pub(crate) async fn pay(
    store: &dyn ReservationStore,
    slot: &Slot,
    payment_id: &str,
    reservation_id: &str,
) -> PaymentRow {
    match try_pay(store, slot, payment_id, reservation_id, T0).await {
        PayOutcome::Completed(row) => row,
        other => panic!("{reservation_id} was not paid: {other:?}"),
    }
}

/// A wish to charge, under the key of its own id.
pub fn charge_wish(slot: &Slot, charge_id: &str, amount_minor: i64) -> ChargeWish {
    ChargeWish {
        caller: Caller::Inside(slot.clone()),
        charge_id: charge_id.to_owned(),
        amount_minor,
        key: key(Operation::Charge, charge_id, &amount_minor.to_string()),
    }
}

pub(crate) async fn charge(store: &dyn ReservationStore, slot: &Slot, charge_id: &str, amount_minor: i64) {
    let answer = store.charge(charge_wish(slot, charge_id, amount_minor), T0).await.unwrap();
    assert!(matches!(answer, Answered::Now(ChargeOutcome::Charged(_))), "{answer:?}");
}

pub(crate) fn own_wish(slot: &Slot, id: &str) -> OwnWish {
    OwnWish { owner: slot.owner.clone(), id: id.to_owned(), key: None, traceparent: None }
}

pub(crate) async fn balance(store: &dyn ReservationStore, slot: &Slot) -> i64 {
    let balance = store.balance(&slot.owner).await.unwrap().amount_minor;
    let ledger = store.ledger(&slot.owner, PageRange { after: None, limit: 1_000 }).await.unwrap();
    let sum: i64 = ledger.items.iter().map(|entry| entry.amount_minor).sum();
    assert_eq!(balance, sum, "a balance is the sum of its ledger");
    balance
}

/// The state of a seat of performance `c-1`, by its place.
pub(crate) async fn seat(store: &dyn ReservationStore, place: usize, now: Timestamp) -> SeatState {
    let taken = store.taken("c-1", now).await.unwrap();
    taken.iter().find(|(at, _)| *at == place).map_or(SeatState::Free, |(_, state)| *state)
}

/// Everything in the outbox, told now; in the order of the entries, over all parts.
pub async fn told(store: &dyn ReservationStore) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let OutboxBatch { part, entries } = store.outbox(1_000).await.unwrap();
        if entries.is_empty() {
            break;
        }
        store.published(part, entries.iter().map(|entry| entry.entry).collect(), T0).await.unwrap();
        all.extend(entries);
    }
    all.sort_by_key(|entry| entry.entry);
    all.into_iter().map(|entry| entry.record).collect()
}

/// The `type` of an event.
pub(crate) fn kind(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    json["type"].as_str().unwrap().to_owned()
}

pub(crate) fn kinds(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| kind(&record.event)).collect()
}

pub(crate) async fn told_kinds(store: &dyn ReservationStore) -> Vec<String> {
    kinds(&told(store).await)
}
