//! Where a ticket stands. A good ticket that the store does not know was given before the store lost the
//! room, and comes back to its place when it is shown.

use kernel::ports::{RoomStore, Seen, StoreError};
use kernel::room::{Returning, Standing};
use kernel::ticket::Ticket;
use kernel::words::{Digest, RoomId, Timestamp};

/// By what a visitor with a `sub` is known in a room.
pub fn visitor_digest(room: &RoomId, sub: &str) -> Digest {
    Digest::of(&[b"visitor", room.as_str().as_bytes(), sub.as_bytes()])
}

/// Where a valid ticket's number stands, put back first if need be.
pub async fn seen(
    store: &dyn RoomStore,
    room: &RoomId,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Seen, StoreError> {
    let seen = store.seen(room, ticket.number).await?;
    match seen.standing {
        Standing::Unknown => {
            let visitor = ticket.sub.as_deref().map(|sub| visitor_digest(room, sub));
            let returning = Returning { number: ticket.number, visitor };
            let seen = store.reinstate(room, returning, now).await?;
            if seen.standing != Standing::Unknown {
                metrics::counter!("turnline_reinstated_total").increment(1);
                tracing::info!(%room, "a ticket that the store had lost was shown and is reinstated");
            }
            Ok(seen)
        }
        Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_) | Standing::Ended(_) => Ok(seen),
    }
}
