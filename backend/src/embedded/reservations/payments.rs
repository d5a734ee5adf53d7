//! Payments and their undoing: money, seat, slot and events change in one transaction.

use kernel::event::{CancellationFact, Event, PaymentFact, PaymentRef, ReplyFact};
use kernel::ports::reservations::{
    Answered, Caller, CancelOutcome, Compensated, Entry, OwnWish, Page, PageRange, PayOutcome, PayWish,
    PaymentRow, Reservation,
};
use kernel::reservation::hold::{self, Hold};
use kernel::reservation::payment::{self, Input, Next, Verdict};
use kernel::reservation::{EntryKind, Owner, Payment, Slot};
use kernel::words::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::catalogue::limit;
use super::outbox::{self, Letter};
use super::rows::{PAYMENT, int, page, payment as payment_row, time, uint};
use super::{Fault, holds, keys, money};

pub fn pay(db: &Connection, wish: &PayWish, now: Timestamp) -> Result<Answered<PayOutcome>, Fault> {
    keys::once(db, wish.caller.owner(), Some(&wish.key), now, || {
        let Caller::Inside(slot) = &wish.caller else { return Ok(PayOutcome::SlotEnded) };
        let Some(reservation) = holds::of_owner(db, &slot.owner, &wish.reservation_id)? else {
            return Ok(PayOutcome::UnknownReservation);
        };
        if holds::has_ended(db, slot, now)? {
            return Ok(PayOutcome::SlotEnded);
        }
        let balance = money::balance(db, &slot.owner)?.amount_minor;
        let confirmed = hold::step(lasting(&reservation, slot, now), hold::Input::Confirm, now);
        let made = |payment| made(wish, slot, &reservation, payment, now);
        match payment::judge(confirmed, balance, reservation.amount_minor) {
            Verdict::Refuse(refusal) => Ok(PayOutcome::Refused(refusal)),
            Verdict::Fail(reason) => {
                let row = made(Payment::Failed { reason });
                insert(db, &slot.owner, &row)?;
                let facts = row.facts(&slot.owner.room);
                let fact = PaymentFact::PaymentFailed { payment: facts, reason: reason.as_str().to_owned() };
                tell(db, wish, &row, "failed", Event::Payment(fact))?;
                Ok(PayOutcome::Failed(row, reason))
            }
            Verdict::Take { balance_after } => {
                let row = made(Payment::Completed);
                insert(db, &slot.owner, &row)?;
                holds::store(db, &row.reservation_id, Hold::Confirmed, Some(&row.payment_id))?;
                let entry = entry(&row, EntryKind::Payment, now);
                money::book(db, &slot.owner, &entry, balance_after)?;
                holds::end_slot(db, &slot.owner.room, slot.number, now)?;
                let fact = PaymentFact::PaymentCompleted(row.facts(&slot.owner.room));
                tell(db, wish, &row, "completed", Event::Payment(fact))?;
                Ok(PayOutcome::Completed(row))
            }
        }
    })
}

pub fn of_owner(db: &Connection, owner: &Owner, payment_id: &str) -> Result<Option<PaymentRow>, Fault> {
    let sql = format!("SELECT {PAYMENT} FROM payments WHERE payment_id = ? AND room = ? AND sub = ?");
    let found = db
        .prepare_cached(&sql)?
        .query_row([payment_id, owner.room.as_str(), &owner.sub], payment_row)
        .optional()?;
    Ok(found)
}

pub fn list(db: &Connection, owner: &Owner, range: PageRange) -> Result<Page<PaymentRow>, Fault> {
    let sql = format!(
        "SELECT {PAYMENT} FROM payments WHERE room = ? AND sub = ? AND entry < ? ORDER BY entry DESC LIMIT ?"
    );
    let mut rows = db.prepare_cached(&sql)?;
    let before = range.after.map_or(i64::MAX, int);
    let read = |row: &Row<'_>| Ok((row.get(10).map(uint)?, payment_row(row)?));
    let rows = rows.query_map(params![owner.room.as_str(), owner.sub, before, limit(range)], read)?;
    Ok(page(rows.collect::<Result<_, _>>()?, range))
}

pub fn request_cancel(
    db: &Connection,
    wish: &OwnWish,
    now: Timestamp,
) -> Result<Answered<CancelOutcome>, Fault> {
    keys::once(db, &wish.owner, wish.key.as_ref(), now, || {
        let Some(mut row) = of_owner(db, &wish.owner, &wish.id)? else { return Ok(CancelOutcome::Unknown) };
        match payment::step(row.payment, Input::RequestCancel) {
            Err(refusal) => return Ok(CancelOutcome::Refused(refusal)),
            Ok(Next::Same) => {}
            Ok(Next::Became(payment)) => {
                row.payment = payment;
                store(db, &row, now)?;
                let facts = row.facts(&wish.owner.room);
                let fact = Event::Cancellation(CancellationFact::CancelPaymentRequested(facts));
                let id = format!("{}.cancel-requested", row.payment_id);
                let traceparent = wish.traceparent.as_deref();
                outbox::add(db, Letter { id, room: &wish.owner.room, traceparent, event: fact }, now)?;
            }
        }
        Ok(CancelOutcome::Accepted(row))
    })
}

pub fn compensate(db: &Connection, asked: &PaymentRef, now: Timestamp) -> Result<Compensated, Fault> {
    let sql = format!("SELECT {PAYMENT}, sub FROM payments WHERE payment_id = ? AND room = ?");
    let found = db
        .prepare_cached(&sql)?
        .query_row([&asked.payment_id, asked.room.as_str()], |row| {
            Ok((payment_row(row)?, row.get::<_, String>(11)?))
        })
        .optional()?;
    let Some((mut row, sub)) = found else {
        refuse(db, asked, "unknown_payment", now)?;
        return Ok(Compensated::Unknown);
    };
    match payment::step(row.payment, Input::Compensate) {
        Err(refusal) => {
            let reason = match refusal {
                payment::Refusal::NothingPaid => "nothing_paid",
                payment::Refusal::NotRequested => "not_requested",
            };
            refuse(db, asked, reason, now)?;
            Ok(Compensated::Refused(refusal))
        }
        // The reply went into the outbox with the compensation.
        Ok(Next::Same) => Ok(Compensated::Already),
        Ok(Next::Became(payment)) => {
            row.payment = payment;
            undo(db, &Owner { room: asked.room.clone(), sub }, &row, now)?;
            Ok(Compensated::Done { performance_id: row.performance_id })
        }
    }
}

pub fn recall(
    db: &Connection,
    asked_before: Timestamp,
    limit: usize,
    now: Timestamp,
) -> Result<usize, Fault> {
    let sql = format!(
        "SELECT {PAYMENT}, room FROM payments WHERE state = 'cancelling' AND asked_at < ?
         ORDER BY asked_at LIMIT ?"
    );
    let stuck = {
        let mut rows = db.prepare_cached(&sql)?;
        let rows = rows.query_map([time(asked_before), int(limit as u64)], |row| {
            Ok((payment_row(row)?, super::rows::room_at(row, 11)?))
        })?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    for (row, room) in &stuck {
        store(db, row, now)?;
        let event = Event::Cancellation(CancellationFact::CancelPaymentRequested(row.facts(room)));
        // A new id: the first request was lost, and this one must not pass for it.
        let id = format!("{}.cancel-requested.{}", row.payment_id, now.as_millis());
        outbox::add(db, Letter { id, room, traceparent: None, event }, now)?;
    }
    Ok(stuck.len())
}

/// The hold as the living session makes it: a renewal counts even if its event is still on the way.
fn lasting(reservation: &Reservation, slot: &Slot, now: Timestamp) -> Hold {
    let own = reservation.number == slot.number;
    let renewed = hold::step(reservation.hold, hold::Input::Extend { expires_at: slot.expires_at }, now);
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

fn entry(row: &PaymentRow, kind: EntryKind, now: Timestamp) -> Entry {
    let amount_minor = match kind {
        EntryKind::Payment => -row.amount_minor,
        EntryKind::Charge | EntryKind::Refund => row.amount_minor,
    };
    Entry { amount_minor, kind, reference: row.payment_id.clone(), at: now }
}

fn insert(db: &Connection, owner: &Owner, row: &PaymentRow) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO payments (payment_id, room, sub, number, reservation_id, performance_id, seat_id,
                               amount_minor, currency, state, reason, made_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.payment_id,
        owner.room.as_str(),
        owner.sub,
        int(row.number),
        row.reservation_id,
        row.performance_id,
        row.seat_id,
        row.amount_minor,
        row.currency.as_str(),
        row.payment.as_str(),
        reason(row.payment),
        time(row.at),
    ])?;
    Ok(())
}

/// Writes down what a payment became, at `now`.
fn store(db: &Connection, row: &PaymentRow, now: Timestamp) -> Result<(), Fault> {
    db.prepare_cached("UPDATE payments SET state = ?, reason = ?, asked_at = ? WHERE payment_id = ?")?
        .execute(params![row.payment.as_str(), reason(row.payment), time(now), row.payment_id])?;
    Ok(())
}

fn reason(payment: Payment) -> Option<&'static str> {
    match payment {
        Payment::Failed { reason } => Some(reason.as_str()),
        Payment::Completed | Payment::Cancelling | Payment::Cancelled => None,
    }
}

/// Money back, seat free, and everybody told.
fn undo(db: &Connection, owner: &Owner, row: &PaymentRow, now: Timestamp) -> Result<(), Fault> {
    let broken = |what: &str| Fault::Broken(format!("payment {}: {what}", row.payment_id));
    let reservation = holds::of_owner(db, owner, &row.reservation_id)?
        .ok_or_else(|| broken("its reservation is not there"))?;
    match hold::step(reservation.hold, hold::Input::Cancel, now) {
        Ok(hold::Next::Became(hold)) => holds::store(db, &row.reservation_id, hold, Some(&row.payment_id))?,
        Ok(hold::Next::Same) => {}
        Err(refusal) => return Err(broken(&refusal.to_string())),
    }
    store(db, row, now)?;
    let balance = money::balance(db, owner)?.amount_minor + row.amount_minor;
    money::book(db, owner, &entry(row, EntryKind::Refund, now), balance)?;
    let facts = row.facts(&owner.room);
    for (what, event) in [
        ("cancelled", Event::Payment(PaymentFact::PaymentCancelled(facts.clone()))),
        ("cancellation-succeeded", Event::Reply(ReplyFact::PaymentCancellationSucceeded(facts))),
    ] {
        let id = format!("{}.{what}", row.payment_id);
        outbox::add(db, Letter { id, room: &owner.room, traceparent: None, event }, now)?;
    }
    Ok(())
}

/// Answers a request that cannot be met; once a reason.
fn refuse(db: &Connection, asked: &PaymentRef, reason: &str, now: Timestamp) -> Result<(), Fault> {
    let fact = ReplyFact::PaymentCancellationFailed { payment: asked.clone(), reason: reason.to_owned() };
    let id = format!("{}.cancellation-failed.{reason}", asked.payment_id);
    outbox::add(db, Letter { id, room: &asked.room, traceparent: None, event: Event::Reply(fact) }, now)
}

/// A new payment's event happened when the payment did.
fn tell(db: &Connection, wish: &PayWish, row: &PaymentRow, what: &str, event: Event) -> Result<(), Fault> {
    let id = format!("{}.{what}", row.payment_id);
    let room = &wish.caller.owner().room;
    outbox::add(db, Letter { id, room, traceparent: wish.traceparent.as_deref(), event }, row.at)
}
