//! What the shop hears: slots that end or last longer, compensations to carry out, seats that other nodes moved.
//! Each handler may hear an event again and does nothing then.

use std::sync::Arc;

use kernel::crash::{self, CrashPoint};
use kernel::event::{CancellationFact, Event, Record, RoomFact, Topic};
use kernel::ports::reservations::Compensated;
use kernel::ports::{StartAt, StoreError, Subscription};
use tokio_util::sync::CancellationToken;

use crate::Shop;
use crate::inbox::Inbox;
use crate::sweep::DONE_KEPT_MS;

/// Slots on their way to the store at a time, so that they share a commit of it.
const SLOTS_AT_ONCE: usize = 64;

/// Holds end, and last, with the visitor's slot. Their order does not matter: what ended is not extended,
/// and no extension takes time away.
pub async fn sessions(shop: &Arc<Shop>, stop: CancellationToken) {
    let from = group("reservation-api.holds", Topic::ActiveTokens, StartAt::Committed);
    let inbox = Inbox::new(shop, from, SLOTS_AT_ONCE, &shop.slots_moved);
    inbox.run(stop, moves_a_slot, |record| slot_moved(shop.clone(), record)).await;
}

/// Cancellations asked for over the log are carried out here, one after the other.
pub async fn cancellations(shop: &Arc<Shop>, stop: CancellationToken) {
    let from = group("reservation-api.cancellations", Topic::PaymentCancellations, StartAt::Committed);
    let inbox = Inbox::new(shop, from, 1, &shop.cancellations_asked);
    inbox.run(stop, asks_to_cancel, |record| compensate(shop.clone(), record)).await;
}

/// What the store of a room lost, releases of slots among it, comes about anew: payments of late are told
/// once more, and whoever knows them already does nothing.
pub async fn rebuilds(shop: &Arc<Shop>, stop: CancellationToken) {
    let from = group("reservation-api.rebuilds", Topic::Rooms, StartAt::Committed);
    edge::consume(shop.ports.log.as_ref(), from, stop, |record| room_rebuilt(shop.clone(), record)).await;
}

/// Wakes the work that other replicas left for this one.
pub async fn rings(shop: &Arc<Shop>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shop.store().rung() => {}
        }
        for work in [&shop.moved, &shop.slots_moved, &shop.cancellations_asked] {
            work.notify_one();
        }
    }
}

/// Every node forgets what it remembers of a performance in which any node held, sold or freed a seat.
pub async fn seats(shop: &Arc<Shop>, stop: CancellationToken) {
    let from = group("reservation-api.seat-maps", Topic::Reservations, StartAt::Tail);
    edge::consume(shop.ports.log.as_ref(), from, stop, |record| seat_changed(shop.clone(), record)).await;
}

fn group(name: &str, topic: Topic, start: StartAt) -> Subscription {
    Subscription { group: name.to_owned(), topics: vec![topic], start }
}

fn moves_a_slot(event: &Event) -> bool {
    event.of_room().is_some_and(|event| match &event.fact {
        RoomFact::ActiveTokenReleased { .. } | RoomFact::ActiveTokenRenewed { .. } => true,
        RoomFact::RoomConfigured { .. }
        | RoomFact::RoomRebuilt { .. }
        | RoomFact::RoomStateChanged { .. }
        | RoomFact::WaitingTokensIssued { .. }
        | RoomFact::WaitingTokensReinstated { .. }
        | RoomFact::WaitingTokensDeparted { .. }
        | RoomFact::ActiveTokensIssued { .. }
        | RoomFact::ActiveTokenClaimed { .. }
        | RoomFact::RoomProgressed { .. } => false,
    })
}

fn asks_to_cancel(event: &Event) -> bool {
    matches!(event, Event::Cancellation(CancellationFact::CancelPaymentRequested(_)))
}

async fn room_rebuilt(shop: Arc<Shop>, record: Arc<Record>) -> Result<(), StoreError> {
    let Event::Room(event) = &record.event else { return Ok(()) };
    if matches!(event.fact, RoomFact::RoomRebuilt { .. }) {
        let since = event.at.minus_millis(DONE_KEPT_MS);
        let again = shop.store().retell(&event.room, since).await?;
        tracing::info!(room = %event.room, again, "the room was made anew; its payments of late are told again");
        shop.posted.notify_one();
    }
    Ok(())
}

async fn slot_moved(shop: Arc<Shop>, record: Arc<Record>) -> Result<(), StoreError> {
    let Event::Room(event) = &record.event else { return Ok(()) };
    if let RoomFact::ActiveTokenReleased { number, .. } = &event.fact {
        let freed = shop.store().end_slot(&event.room, *number, shop.now()).await?;
        freed.iter().for_each(|performance_id| shop.seats_moved(performance_id));
    }
    if let RoomFact::ActiveTokenRenewed { number, expires_at } = &event.fact {
        shop.store().extend_slot(&event.room, *number, *expires_at, shop.now()).await?;
    }
    Ok(())
}

async fn compensate(shop: Arc<Shop>, record: Arc<Record>) -> Result<(), StoreError> {
    let Event::Cancellation(CancellationFact::CancelPaymentRequested(payment)) = &record.event else {
        return Ok(());
    };
    crash::passing(CrashPoint::CancelHeard);
    let compensated = shop.store().compensate(payment, shop.now()).await?;
    crash::passing(CrashPoint::RefundKept);
    let result = match compensated {
        Compensated::Done { performance_id } => {
            shop.seat_maps.touch(&performance_id);
            "cancelled"
        }
        Compensated::Already => "repeated",
        Compensated::Refused(refusal) => {
            tracing::warn!(payment = payment.payment_id, %refusal, "a cancellation was refused");
            "refused"
        }
        Compensated::Unknown => {
            tracing::warn!(payment = payment.payment_id, "a cancellation names no payment of ours");
            "unknown"
        }
    };
    metrics::counter!("turnline_reservation_compensations_total", "result" => result).increment(1);
    shop.posted.notify_one();
    Ok(())
}

async fn seat_changed(shop: Arc<Shop>, record: Arc<Record>) -> Result<(), StoreError> {
    if let Event::Reservation(fact) = &record.event {
        shop.seat_maps.touch(&fact.reservation().performance_id);
    }
    Ok(())
}
