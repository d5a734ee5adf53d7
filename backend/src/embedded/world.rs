//! What the writer thread owns: every room, the registry, and what the next commit has to put on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kernel::event::Record;
use kernel::ports::{RoomRecord, StoreError};
use kernel::room::Room;
use kernel::words::RoomId;

use super::OpenError;
use super::journal::{Changes, Entry, Journal};

/// A room is written down whole after this many events, so that a restart replays fewer than that.
const EVENTS_PER_SNAPSHOT: u64 = 50_000;

pub(super) struct World {
    pub rooms: HashMap<RoomId, Room>,
    pub registry: BTreeMap<RoomId, RoomRecord>,
    pub changes: Changes,
    last_offset: u64,
    /// Events of each room since its last snapshot.
    unsaved: HashMap<RoomId, u64>,
}

impl World {
    pub fn load(journal: &Journal) -> Result<Self, OpenError> {
        let records = journal.registry()?;
        let (mut rooms, mut unsaved) = (HashMap::new(), HashMap::new());
        for (id, restored) in journal.rooms()? {
            unsaved.insert(id.clone(), restored.replayed);
            rooms.insert(id, restored.room);
        }
        Ok(Self {
            rooms,
            registry: records.into_iter().map(|record| (record.birth.room.clone(), record)).collect(),
            changes: Changes::default(),
            last_offset: journal.last_offset()?,
            unsaved,
        })
    }

    pub fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// Lets `act` work on a room and takes what it recorded into the next commit.
    pub fn act<T>(&mut self, room: &RoomId, act: impl FnOnce(&mut Room) -> T) -> Result<T, StoreError> {
        let held = self.rooms.get_mut(room).ok_or(StoreError::UnknownRoom)?;
        let answer = act(held);
        self.collect(room);
        Ok(answer)
    }

    pub fn insert(&mut self, room: &RoomId, made: Room) {
        self.rooms.insert(room.clone(), made);
        self.collect(room);
    }

    /// The birth and the lottery secret stay those of whoever was first.
    pub fn save(&mut self, mut record: RoomRecord) -> RoomRecord {
        if let Some(first) = self.registry.get(&record.birth.room) {
            record.birth = first.birth.clone();
            record.lottery_secret = first.lottery_secret;
        }
        self.registry.insert(record.birth.room.clone(), record.clone());
        self.changes.registry.push(record.clone());
        record
    }

    pub fn append(&mut self, record: Record) {
        self.last_offset += 1;
        self.changes.entries.push(Entry { offset: self.last_offset, record: Arc::new(record) });
    }

    /// Writes down rooms that have many events behind their last snapshot; all that have any when `all`.
    pub fn snapshot(&mut self, all: bool) {
        let many = if all { 1 } else { EVENTS_PER_SNAPSHOT };
        let due: Vec<_> =
            self.unsaved.iter().filter(|(_, count)| **count >= many).map(|(room, _)| room.clone()).collect();
        for room in due {
            self.unsaved.remove(&room);
            let Some(held) = self.rooms.get(&room) else { continue };
            match rmp_serde::to_vec_named(held) {
                Ok(state) => self.changes.snapshots.push((room, self.last_offset, state)),
                Err(error) => {
                    tracing::error!(%room, %error, "a room could not be written down whole; its events are kept")
                }
            }
        }
    }

    fn collect(&mut self, room: &RoomId) {
        let events = self.rooms.get_mut(room).map(Room::take_events).unwrap_or_default();
        *self.unsaved.entry(room.clone()).or_default() += events.len() as u64;
        events.into_iter().for_each(|event| self.append(event.into()));
    }
}
