//! The opening of a room, by its operator or when its time has come: where a lottery orders the prequeue
//! it is drawn first, over exactly those who came before.

use kernel::control::{self, Control, Order};
use kernel::event::v1::Drawn;
use kernel::lottery::Arrivals;
use kernel::policy::PrequeueOrder;
use kernel::ports::{RoomRecord, RoomStore, StoreError};
use kernel::ticket::TicketKey;
use kernel::words::{Timestamp, hex};

/// How often an opening is tried again because somebody else changed the room.
const ATTEMPTS: usize = 16;
/// Arrivals that may come between the last look and the opening before we look again: they would stand
/// behind those who took part, so there should be few of them.
const LATE_MAX: u64 = 1_000;
/// Looks at most; each finds only those who came during the one before.
const LOOKS: usize = 8;

/// Opens the room, drawing the lottery if its policy asks for one and it still is in prequeue.
/// Does nothing when it is open already. Fails only when the store does.
pub async fn open(
    store: &dyn RoomStore,
    record: &RoomRecord,
    tickets: &TicketKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let room = &record.birth.room;
    let mut arrivals = Arrivals::default();
    for _ in 0..ATTEMPTS {
        let seen = store.counts(room).await?;
        let from = seen.counts.control;
        let Ok(to) = control::step(from, Order::Open) else { return Ok(()) };
        if from == to {
            return Ok(());
        }
        let lottery = from == Control::Prequeue && seen.policy.prequeue == PrequeueOrder::Lottery;
        let drawn = if lottery { Some(draw(&mut arrivals, store, record, tickets).await?) } else { None };
        if store.control(room, from, to, drawn, now).await? {
            tracing::info!(%room, lottery, issued = seen.issued, "the room opens");
            return Ok(());
        }
    }
    Err(StoreError::Unavailable("the room kept changing while it was opened".to_owned()))
}

/// Draws over everyone who has come. A root is about a microsecond an arrival: computed off the threads
/// that answer, and caught up with those who came meanwhile, of whom there are fewer each time.
async fn draw(
    arrivals: &mut Arrivals,
    store: &dyn RoomStore,
    record: &RoomRecord,
    tickets: &TicketKey,
) -> Result<Drawn, StoreError> {
    for _ in 0..LOOKS {
        let issued = store.counts(&record.birth.room).await?.issued;
        let missing = issued.saturating_sub(arrivals.count());
        let (mut grown, birth, tickets) = (arrivals.clone(), record.birth.clone(), tickets.clone());
        let work = move || {
            (grown.count() + 1..=issued).for_each(|number| grown.push(tickets.id(&birth, number)));
            grown
        };
        let failed =
            |error: tokio::task::JoinError| StoreError::Unavailable(format!("the draw failed: {error}"));
        *arrivals = tokio::task::spawn_blocking(work).await.map_err(failed)?;
        if missing <= LATE_MAX {
            break;
        }
    }
    let (secret, list_root) = (hex(&record.lottery_secret), hex(&arrivals.root()));
    Ok(Drawn { frozen: arrivals.count(), secret, list_root, beacon: None })
}
