//! What a visitor is told of the line, from this node's copy of the room: polls, however many, ask the store
//! nothing but how new the copy has to be, and that once for all who come at a time.

use std::time::Duration;

use edge::mirror::Level;
use kernel::ports::{RoomRecord, Seen, StoreError};
use kernel::room::{RoomState, Standing};
use kernel::ticket::Ticket;

use crate::Shared;

/// How long the copy may stand still behind the store before the store itself is asked. In one process it is
/// never behind for so long. On servers an event takes some tens of milliseconds by way of the log: nobody
/// waits for that, and what is asked of the store at a time goes there together.
const PATIENCE: Duration = Duration::from_millis(25);

/// Where a number stands, and how the line around it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub standing: Standing,
    pub waiting: u64,
    /// Visitors called an hour.
    pub per_hour: u64,
}

impl From<&Seen> for Outlook {
    fn from(seen: &Seen) -> Self {
        Self { standing: seen.standing, waiting: seen.room.waiting, per_hour: seen.room.per_hour }
    }
}

impl Outlook {
    fn of(state: &RoomState, ticket: &Ticket) -> Self {
        Self {
            standing: state.standing(ticket.number),
            waiting: state.line.waiting(),
            per_hour: state.per_hour,
        }
    }
}

/// How it looks for a valid ticket: not older than what anybody was answered before this was asked. Who is
/// neither in the line nor in a slot has ended, or has to be put back: that the store knows alone.
pub(crate) async fn outlook(
    shared: &Shared,
    record: &RoomRecord,
    ticket: &Ticket,
) -> Result<Outlook, StoreError> {
    if let Some(outlook) = copied(shared, record, ticket).await? {
        return Ok(outlook);
    }
    let store = shared.ports.store.as_ref();
    Ok(Outlook::from(&edge::seen(store, &record.birth.room, ticket, shared.now()).await?))
}

/// `None` where only the store can tell.
async fn copied(
    shared: &Shared,
    record: &RoomRecord,
    ticket: &Ticket,
) -> Result<Option<Outlook>, StoreError> {
    let mirror = shared.mirrors.follow(&record.birth.room).await?;
    if mirror.level(&shared.ports.store, PATIENCE).await? == Level::Behind {
        metrics::counter!("turnline_polls_beyond_the_copy_total").increment(1);
        return Ok(None);
    }
    let outlook = mirror.read(|state| Outlook::of(state, ticket));
    Ok(outlook.filter(|outlook| outlook.standing != Standing::Unknown))
}
