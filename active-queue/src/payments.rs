//! A payment ends the payer's session, so that its slot is offered again at once.

use std::sync::Arc;

use kernel::crash::{self, CrashPoint};
use kernel::event::{Event, PaymentFact, PaymentRef, Record};
use kernel::ports::StoreError;
use kernel::words::{EndReason, Ranges, Timestamp};

use crate::Ports;
use crate::floor::Floor;

/// Releases the slot of whoever paid. Told twice, or after the session ended, it changes nothing.
pub(crate) async fn settle(ports: &Ports, floor: &Floor, record: Arc<Record>) -> Result<(), StoreError> {
    let Event::Payment(PaymentFact::PaymentCompleted(payment)) = &record.event else { return Ok(()) };
    let now = ports.clock.now();
    crash::passing(CrashPoint::PaymentHeard);
    match release(ports, payment, now).await {
        Ok(ended) => {
            crash::passing(CrashPoint::SlotFreed);
            if ended {
                metrics::counter!("turnline_paid_releases_total").increment(1);
            }
            floor.wake(&payment.room);
            Ok(())
        }
        // A room that is gone has no slots.
        Err(StoreError::UnknownRoom) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ends the payer's session. One that waits again, because the store lost the call, leaves the line: who
/// has bought is not called twice.
async fn release(ports: &Ports, payment: &PaymentRef, now: Timestamp) -> Result<bool, StoreError> {
    let (store, room, number) = (ports.store.as_ref(), &payment.room, payment.number);
    Ok(edge::end(store, room, number, EndReason::Paid, now).await?
        || !store.depart(room, Ranges::one(number), EndReason::Paid, now).await?.is_empty())
}
