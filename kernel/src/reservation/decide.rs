//! What a call to the shop comes to: facts in, outcome and changes out. A store finds the facts under its
//! own locks, asks here, and writes the changes down in one transaction with the answer.

use super::hold::{self, Input, NoHold, may_hold};
use super::payment::{self, Verdict};
use super::{Currency, EntryKind, Hold, Owner, Payment, SeatState, Slot, letters, money};
use crate::event::{PaymentRef, Record};
use crate::ports::reservations::{
    Caller, CancelOutcome, ChargeOutcome, ChargeWish, Compensated, Entry, GiveBackOutcome, HoldOutcome,
    HoldWish, Money, OwnWish, PayOutcome, PayWish, PaymentRow, Reservation,
};
use crate::words::{Number, RoomId, Timestamp};

/// An outcome, and what has to be written down with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided<T> {
    pub outcome: T,
    pub changes: Vec<Change>,
}

impl<T> Decided<T> {
    /// Nothing changes.
    fn only(outcome: T) -> Self {
        Self { outcome, changes: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new hold on the seat at this place of the plan.
    Held { owner: Owner, place: u64, reservation: Reservation },
    /// What a reservation became.
    Moved { reservation_id: String, hold: Hold, payment_id: Option<String> },
    /// A new payment.
    Paid { owner: Owner, payment: PaymentRow },
    /// What a payment became, or asked again for its compensation.
    PaymentMoved { payment_id: String, payment: Payment },
    /// A line of the owner's ledger, and the balance with it.
    Booked { owner: Owner, entry: Entry, balance_after: i64 },
    /// The slot opens nothing any more; it may be known already.
    SlotEnded { room: RoomId, number: Number },
    /// An event for the outbox; told once an id.
    Told(Record),
}

/// What is sold under the names in a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub room: RoomId,
    pub currency: Currency,
    /// Place in the plan and price in minor units; absent when there is no such seat.
    pub seat: Option<(u64, i64)>,
}

#[derive(Debug, Clone)]
pub struct HoldFacts {
    /// Absent when there is no such performance.
    pub offer: Option<Offer>,
    /// Whether the slot is among the ended ones.
    pub slot_ended: bool,
    /// The reservation that holds or bought the seat, if its time is over too.
    pub there: Option<Reservation>,
    /// What the slot holds, if its time is over too.
    pub held: Vec<Reservation>,
}

#[derive(Debug, Clone)]
pub struct PayFacts {
    /// The caller's own reservation of this id.
    pub reservation: Option<Reservation>,
    /// Whether the slot is among the ended ones.
    pub slot_ended: bool,
    pub balance_minor: i64,
    /// What the slot holds.
    pub held: Vec<Reservation>,
}

/// A payment to be undone.
#[derive(Debug, Clone)]
pub struct UndoFacts {
    pub owner: Owner,
    pub payment: PaymentRow,
    pub reservation: Option<Reservation>,
    pub balance_minor: i64,
}

/// What the store holds contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payment {payment_id}: {what}")]
pub struct Contradiction {
    pub payment_id: String,
    pub what: String,
}

/// The slot of a caller who may still open something new.
pub fn inside(caller: &Caller, slot_ended: bool, now: Timestamp) -> Option<&Slot> {
    match caller {
        Caller::Inside(slot) if !slot_ended && now < slot.expires_at => Some(slot),
        Caller::Inside(_) | Caller::Outside(_) => None,
    }
}

pub fn hold(wish: &HoldWish, facts: HoldFacts, now: Timestamp) -> Decided<HoldOutcome> {
    let Caller::Inside(slot) = &wish.caller else { return Decided::only(HoldOutcome::SlotEnded) };
    let Some(offer) = facts.offer else { return Decided::only(HoldOutcome::UnknownPerformance) };
    if offer.room != slot.owner.room {
        return Decided::only(HoldOutcome::WrongRoom);
    }
    let Some((place, amount_minor)) = offer.seat else { return Decided::only(HoldOutcome::UnknownSeat) };
    if inside(&wish.caller, facts.slot_ended, now).is_none() {
        return Decided::only(HoldOutcome::SlotEnded);
    }
    let seat = facts.there.as_ref().map_or(SeatState::Free, |there| there.hold.seat(now));
    let living = facts.held.iter().filter(|one| one.hold.seat(now) == SeatState::Held).count() as u64;
    match may_hold(seat, living, wish.max_holds) {
        Ok(()) => {}
        Err(NoHold::SeatTaken) => return Decided::only(HoldOutcome::SeatTaken),
        Err(NoHold::Limit) => return Decided::only(HoldOutcome::Limit),
    }
    let reservation = Reservation {
        room: offer.room,
        reservation_id: wish.reservation_id.clone(),
        performance_id: wish.performance_id.clone(),
        seat_id: wish.seat_id.clone(),
        number: slot.number,
        amount_minor,
        currency: offer.currency,
        hold: Hold::Held { expires_at: slot.expires_at },
        payment_id: None,
    };
    // A hold on the seat that ran out is written down as over, to make room.
    let mut changes = give_all(&facts.there.into_iter().collect::<Vec<_>>(), Input::Sweep, now).changes;
    changes.push(Change::Held { owner: slot.owner.clone(), place, reservation: reservation.clone() });
    changes.push(Change::Told(letters::reservation(&reservation, wish.traceparent.clone(), now)));
    Decided { outcome: HoldOutcome::Held(reservation), changes }
}

/// Of the caller's own reservation.
pub fn give_back(
    wish: &OwnWish,
    reservation: Option<Reservation>,
    now: Timestamp,
) -> Decided<GiveBackOutcome> {
    let Some(reservation) = reservation else { return Decided::only(GiveBackOutcome::Unknown) };
    match hold::step(reservation.hold, Input::GiveBack, now) {
        Err(refusal) => Decided::only(GiveBackOutcome::Refused(refusal)),
        Ok(next) => Decided {
            changes: moved(&reservation, next, wish.traceparent.as_deref(), now),
            outcome: GiveBackOutcome::Over { performance_id: reservation.performance_id },
        },
    }
}

/// Gives unpaid reservations one input; answers the performances of those that changed.
pub fn give_all(reservations: &[Reservation], input: Input, now: Timestamp) -> Decided<Vec<String>> {
    let mut decided = Decided { outcome: Vec::new(), changes: Vec::new() };
    for reservation in reservations {
        let next = hold::step(reservation.hold, input, now).unwrap_or(hold::Next::Same);
        let changes = moved(reservation, next, None, now);
        if !changes.is_empty() {
            decided.changes.extend(changes);
            decided.outcome.push(reservation.performance_id.clone());
        }
    }
    decided.outcome.sort_unstable();
    decided.outcome.dedup();
    decided
}

/// The slot ends, with what it holds.
pub fn end_slot(room: &RoomId, number: Number, held: &[Reservation], now: Timestamp) -> Decided<Vec<String>> {
    let mut decided = give_all(held, Input::SlotEnded, now);
    decided.changes.push(Change::SlotEnded { room: room.clone(), number });
    decided
}

pub fn pay(wish: &PayWish, facts: PayFacts, now: Timestamp) -> Decided<PayOutcome> {
    let Caller::Inside(slot) = &wish.caller else { return Decided::only(PayOutcome::SlotEnded) };
    let Some(reservation) = facts.reservation else { return Decided::only(PayOutcome::UnknownReservation) };
    if inside(&wish.caller, facts.slot_ended, now).is_none() {
        return Decided::only(PayOutcome::SlotEnded);
    }
    let confirmed = hold::step(lasting(&reservation, slot, now), Input::Confirm, now);
    let owner = &slot.owner;
    match payment::judge(confirmed, facts.balance_minor, reservation.amount_minor) {
        Verdict::Refuse(refusal) => Decided::only(PayOutcome::Refused(refusal)),
        Verdict::Fail(reason) => {
            let payment = made(wish, slot, &reservation, Payment::Failed { reason }, now);
            let changes = vec![
                Change::Paid { owner: owner.clone(), payment: payment.clone() },
                Change::Told(letters::failed(&owner.room, &payment, reason, wish.traceparent.clone())),
            ];
            Decided { outcome: PayOutcome::Failed(payment, reason), changes }
        }
        Verdict::Take { balance_after } => {
            let payment = made(wish, slot, &reservation, Payment::Completed, now);
            let letter = letters::completed(&owner.room, &payment, wish.traceparent.clone());
            let mut changes = vec![
                Change::Paid { owner: owner.clone(), payment: payment.clone() },
                booked(owner, &payment, EntryKind::Payment, balance_after, now),
                Change::Told(letter),
            ];
            let paid_for = Reservation { payment_id: Some(payment.payment_id.clone()), ..reservation };
            let confirmed = hold::Next::Became(Hold::Confirmed);
            changes.extend(moved(&paid_for, confirmed, wish.traceparent.as_deref(), now));
            let paid = |one: &&Reservation| one.reservation_id != payment.reservation_id;
            let others: Vec<_> = facts.held.iter().filter(paid).cloned().collect();
            changes.extend(end_slot(&owner.room, slot.number, &others, now).changes);
            Decided { outcome: PayOutcome::Completed(payment), changes }
        }
    }
}

/// Of the caller's own payment.
pub fn request_cancel(wish: &OwnWish, payment: Option<PaymentRow>, now: Timestamp) -> Decided<CancelOutcome> {
    let Some(mut row) = payment else { return Decided::only(CancelOutcome::Unknown) };
    match payment::step(row.payment, payment::Input::RequestCancel) {
        Err(refusal) => Decided::only(CancelOutcome::Refused(refusal)),
        Ok(payment::Next::Same) => Decided::only(CancelOutcome::Accepted(row)),
        Ok(payment::Next::Became(payment)) => {
            row.payment = payment;
            let letter = letters::cancel_requested(&wish.owner.room, &row, wish.traceparent.clone(), now);
            let changes = vec![payment_moved(&row), Change::Told(letter)];
            Decided { outcome: CancelOutcome::Accepted(row), changes }
        }
    }
}

/// Asks again for a compensation that nobody carried out.
pub fn recall(room: &RoomId, row: &PaymentRow, now: Timestamp) -> Vec<Change> {
    vec![payment_moved(row), Change::Told(letters::cancel_recalled(room, row, now))]
}

/// Money back, seat free, and everybody told; or a reply that says why not.
///
/// # Errors
/// The payment is there without the reservation it paid.
pub fn compensate(
    asked: &PaymentRef,
    found: Option<UndoFacts>,
    now: Timestamp,
) -> Result<Decided<Compensated>, Contradiction> {
    let refuse = |reason: &str, outcome| {
        Ok(Decided { outcome, changes: vec![Change::Told(letters::cancellation_failed(asked, reason, now))] })
    };
    let Some(mut facts) = found else { return refuse("unknown_payment", Compensated::Unknown) };
    match payment::step(facts.payment.payment, payment::Input::Compensate) {
        Err(refusal) => {
            let reason = match refusal {
                payment::Refusal::NothingPaid => "nothing_paid",
                payment::Refusal::NotRequested => "not_requested",
            };
            refuse(reason, Compensated::Refused(refusal))
        }
        // The reply went into the outbox with the compensation.
        Ok(payment::Next::Same) => Ok(Decided::only(Compensated::Already)),
        Ok(payment::Next::Became(payment)) => {
            facts.payment.payment = payment;
            let changes = undo(&facts, now)?;
            let performance_id = facts.payment.performance_id;
            Ok(Decided { outcome: Compensated::Done { performance_id }, changes })
        }
    }
}

/// `money` is what the slot's owner has.
pub fn charge(wish: &ChargeWish, slot: &Slot, money: Money, now: Timestamp) -> Decided<ChargeOutcome> {
    let Some(balance_after) = money::charged(money.amount_minor, wish.amount_minor) else {
        return Decided::only(ChargeOutcome::TooMuch);
    };
    let entry = Entry {
        amount_minor: wish.amount_minor,
        kind: EntryKind::Charge,
        reference: wish.charge_id.clone(),
        at: now,
    };
    let charged = Money { amount_minor: balance_after, currency: money.currency };
    Decided {
        outcome: ChargeOutcome::Charged(charged),
        changes: vec![Change::Booked { owner: slot.owner.clone(), entry, balance_after }],
    }
}

fn undo(facts: &UndoFacts, now: Timestamp) -> Result<Vec<Change>, Contradiction> {
    let row = &facts.payment;
    let wrong = |what: String| Contradiction { payment_id: row.payment_id.clone(), what };
    let paid = facts.reservation.as_ref().ok_or_else(|| wrong("its reservation is not there".to_owned()))?;
    let next = hold::step(paid.hold, Input::Cancel, now).map_err(|refusal| wrong(refusal.to_string()))?;
    let mut changes = moved(paid, next, None, now);
    let balance_after = facts.balance_minor + row.amount_minor;
    changes.push(payment_moved(row));
    changes.push(booked(&facts.owner, row, EntryKind::Refund, balance_after, now));
    changes.extend(letters::cancelled(&facts.owner.room, row, now).map(Change::Told));
    Ok(changes)
}

/// What it became, and the word of it; that a hold lasts longer is no news.
fn moved(
    reservation: &Reservation,
    next: hold::Next,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Vec<Change> {
    let hold::Next::Became(hold) = next else { return Vec::new() };
    let after = Reservation { hold, ..reservation.clone() };
    let told = match hold {
        Hold::Held { .. } => None,
        Hold::Confirmed | Hold::Released { .. } | Hold::Cancelled => {
            Some(Change::Told(letters::reservation(&after, traceparent.map(str::to_owned), now)))
        }
    };
    let Reservation { reservation_id, payment_id, .. } = after;
    [Change::Moved { reservation_id, hold, payment_id }].into_iter().chain(told).collect()
}

fn payment_moved(row: &PaymentRow) -> Change {
    Change::PaymentMoved { payment_id: row.payment_id.clone(), payment: row.payment }
}

fn booked(owner: &Owner, row: &PaymentRow, kind: EntryKind, balance_after: i64, now: Timestamp) -> Change {
    let amount_minor = match kind {
        EntryKind::Payment => -row.amount_minor,
        EntryKind::Charge | EntryKind::Refund => row.amount_minor,
    };
    let entry = Entry { amount_minor, kind, reference: row.payment_id.clone(), at: now };
    Change::Booked { owner: owner.clone(), entry, balance_after }
}

/// The hold as the living session makes it: a renewal counts even if its event is still on the way.
fn lasting(reservation: &Reservation, slot: &Slot, now: Timestamp) -> Hold {
    let own = reservation.number == slot.number;
    let renewed = hold::step(reservation.hold, Input::Extend { expires_at: slot.expires_at }, now);
    match renewed {
        Ok(hold::Next::Became(hold)) if own => hold,
        Ok(_) | Err(_) => reservation.hold,
    }
}

fn made(
    wish: &PayWish,
    slot: &Slot,
    reservation: &Reservation,
    payment: Payment,
    now: Timestamp,
) -> PaymentRow {
    PaymentRow {
        payment_id: wish.payment_id.clone(),
        reservation_id: reservation.reservation_id.clone(),
        performance_id: reservation.performance_id.clone(),
        seat_id: reservation.seat_id.clone(),
        // The slot that pays is the one set free, also for a seat held in an earlier one.
        number: slot.number,
        amount_minor: reservation.amount_minor,
        currency: reservation.currency,
        payment,
        at: now,
    }
}
