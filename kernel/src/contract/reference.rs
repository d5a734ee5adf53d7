//! The store that keeps nothing: rooms in memory. The measure of every other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::RoomEvent;
use crate::ports::{Rebuilt, RoomKeeper, StoreError};
use crate::room::Room;
use crate::words::{RoomId, Timestamp};

/// Hears what a verb recorded, in order.
pub type Outbox = Box<dyn Fn(Vec<RoomEvent>) + Send + Sync>;

pub struct Reference {
    rooms: Mutex<HashMap<RoomId, Room>>,
    outbox: Outbox,
}

impl Reference {
    pub fn new(outbox: Outbox) -> Arc<Self> {
        Arc::new(Self { rooms: Mutex::default(), outbox })
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoomKeeper for Reference {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        mut act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut rooms = self.rooms();
        let held = rooms.get_mut(room).ok_or(StoreError::UnknownRoom)?;
        let answer = act(held);
        (self.outbox)(held.take_events());
        Ok(answer)
    }

    async fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        make: impl FnMut() -> Room + Send + 'static,
    ) -> Result<(), StoreError> {
        let mut rooms = self.rooms();
        let held = rooms.entry(room.clone()).and_modify(act).or_insert_with(make);
        (self.outbox)(held.take_events());
        Ok(())
    }

    /// Nothing is ever lost here.
    async fn remake(&self, room: &RoomId, _now: Timestamp) -> Result<Rebuilt, StoreError> {
        self.act(room, |room| Rebuilt { events: room.state().seq, through_seq: room.state().seq }).await
    }
}
