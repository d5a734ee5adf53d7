//! Rooms as the writer thread holds them; each verb is one of its steps.

use kernel::ports::{EventLog, Rebuilt, RoomKeeper, StoreError};
use kernel::room::Room;
use kernel::words::{RoomId, Timestamp};

use super::Embedded;

/// How often a rebuild reads the log again because the room moved on meanwhile.
const REBUILDS: usize = 20;

impl RoomKeeper for Embedded {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = room.clone();
        self.writer.run(move |world| world.act(&room, act)).await?
    }

    async fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        mut make: impl FnMut() -> Room + Send + 'static,
    ) -> Result<(), StoreError> {
        let room = room.clone();
        let act = move |world: &mut super::world::World| {
            if world.rooms.contains_key(&room) {
                world.act(&room, act)
            } else {
                world.insert(&room, make());
                Ok(())
            }
        };
        self.writer.run(act).await?
    }

    fn version_at_hand(&self, room: &RoomId) -> Option<u64> {
        self.tail.version(room)
    }

    /// The log is on the same disk as the room, so this only shows that the two agree.
    async fn remake(&self, room: &RoomId, _now: Timestamp) -> Result<Rebuilt, StoreError> {
        for _ in 0..REBUILDS {
            let history = self.history(room).await;
            let history = history.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            let made = Room::of_history(&history).ok_or(StoreError::UnknownRoom)?;
            let (id, through_seq) = (room.clone(), made.state().seq);
            let in_time = move |world: &mut super::world::World| {
                let current = world.rooms.get(&id).is_some_and(|held| held.state().seq == through_seq);
                if current {
                    world.rooms.insert(id, made);
                }
                current
            };
            if self.writer.run(in_time).await? {
                return Ok(Rebuilt { events: history.len() as u64, through_seq });
            }
        }
        Err(StoreError::Unavailable("the room moved on faster than its log could be read".to_owned()))
    }
}
