//! The operator's rebuild: a room that lost nothing is shown to be what its events make of it; one that is
//! not is made anew from them.

use kernel::event::RoomEvent;
use kernel::ports::{Rebuilt, StoreError};
use kernel::room::{Checkpoint, Room};
use kernel::words::RoomId;
use tokio::task::spawn_blocking;

use super::job::Job;
use super::rooms::Rooms;

/// How often it is tried when what was not relayed yet is trimmed in passing.
const TRIES: usize = 5;

/// What a room's events came to.
struct Folded {
    events: u64,
    /// `None` when there is a hole between the log and Redis.
    room: Option<Checkpoint>,
}

impl Rooms {
    /// Makes the room from the log and what Redis has yet to relay, and compares it with the room in use.
    pub async fn remake(&self, room: &RoomId) -> Result<Rebuilt, StoreError> {
        for _ in 0..TRIES {
            let history = self.parts.log.history(room).await;
            let mut events = history.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            // Taken later, so it is no older than the history.
            let agreed = self.act(room, |room| room.checkpoint()).await?;
            let seq = agreed.state.seq;
            events.extend(self.unrelayed(room, events.last().map_or(0, |event| event.seq), seq).await?);
            let folded = spawn_blocking(move || fold(&events, seq)).await;
            let folded = folded.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            match folded.room {
                None => {}
                Some(made) if made == agreed => {
                    self.checkpoint(room).await?;
                    return Ok(Rebuilt { events: folded.events, through_seq: seq });
                }
                Some(_) => {
                    tracing::error!(%room, seq, "the room is not what its events make of it, a fault of ours; it is made anew from them");
                    return self.made_anew(room, folded.events).await;
                }
            }
        }
        Err(StoreError::Unavailable("the room's events went on faster than they could be read".to_owned()))
    }

    /// Events behind `seq` up to `last`, from Redis.
    async fn unrelayed(&self, room: &RoomId, seq: u64, last: u64) -> Result<Vec<RoomEvent>, StoreError> {
        let keys = self.parts.aside.space.room(room);
        let entries = self.parts.aside.entries(&keys, seq, usize::MAX >> 1).await?;
        Ok(entries.into_iter().map(|entry| entry.event).filter(|event| event.seq <= last).collect())
    }

    async fn made_anew(&self, room: &RoomId, events: u64) -> Result<Rebuilt, StoreError> {
        self.ask(room, Job::doubt()).await?;
        let through_seq = self.act(room, |room| room.state().seq).await?;
        Ok(Rebuilt { events, through_seq })
    }
}

fn fold(events: &[RoomEvent], seq: u64) -> Folded {
    let made = Room::of_history(events).map(|room| room.checkpoint());
    Folded { events: events.len() as u64, room: made.filter(|made| made.state.seq == seq) }
}
