//! The room registry as a node keeps it: read once, forgotten when a room is configured anew.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use kernel::ports::{Registry, RoomRecord, StoreError};
use kernel::words::RoomId;
use tokio::time::Instant;

use crate::problem::Problem;

/// A record is read again after this, should the event that evicts it have been missed.
const FRESH: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Rooms {
    registry: Arc<dyn Registry>,
    known: Arc<DashMap<RoomId, (Arc<RoomRecord>, Instant)>>,
}

impl Rooms {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, known: Arc::default() }
    }

    /// The room's record; 404 `unknown_room` when there is none.
    pub async fn get(&self, room: &RoomId) -> Result<Arc<RoomRecord>, Problem> {
        if let Some(known) = self.known.get(room)
            && known.1.elapsed() < FRESH
        {
            return Ok(known.0.clone());
        }
        let record = Arc::new(self.registry.load(room).await?.ok_or(StoreError::UnknownRoom)?);
        self.known.insert(room.clone(), (record.clone(), Instant::now()));
        Ok(record)
    }

    /// The record of the room named in a path; a name that no room can have is an unknown room.
    pub async fn named(&self, name: &str) -> Result<Arc<RoomRecord>, Problem> {
        let room = RoomId::parse(name).map_err(|_| StoreError::UnknownRoom)?;
        self.get(&room).await
    }

    /// All rooms by name, past the cache.
    pub async fn all(&self) -> Result<Vec<RoomRecord>, Problem> {
        Ok(self.registry.all().await?)
    }

    pub async fn save(&self, record: &RoomRecord) -> Result<(), Problem> {
        self.registry.save(record).await?;
        self.forget(&record.birth.room);
        Ok(())
    }

    pub fn forget(&self, room: &RoomId) {
        self.known.remove(room);
    }
}
