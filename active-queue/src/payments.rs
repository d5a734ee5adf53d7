//! A payment ends the payer's session, so that its slot is offered again at once.

use std::sync::Arc;

use kernel::event::{Event, PaymentFact, Record};
use kernel::ports::StoreError;
use kernel::words::EndReason;

use crate::Ports;
use crate::floor::Floor;

/// Releases the slot of whoever paid. Told twice, or after the session ended, it changes nothing.
pub(crate) async fn settle(ports: &Ports, floor: &Floor, record: Arc<Record>) -> Result<(), StoreError> {
    let Event::Payment(PaymentFact::PaymentCompleted(payment)) = &record.event else { return Ok(()) };
    let now = ports.clock.now();
    match edge::end(ports.store.as_ref(), &payment.room, payment.number, EndReason::Paid, now).await {
        Ok(ended) => {
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
