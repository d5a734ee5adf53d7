//! The registry of rooms, kept in memory and on disk.

use async_trait::async_trait;
use kernel::ports::{Registry, RoomRecord, StoreError};
use kernel::words::RoomId;

use super::Embedded;

#[async_trait]
impl Registry for Embedded {
    async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
        let record = record.clone();
        self.writer.run(move |world| world.save(record)).await
    }

    async fn load(&self, room: &RoomId) -> Result<Option<RoomRecord>, StoreError> {
        let room = room.clone();
        self.writer.run(move |world| world.registry.get(&room).cloned()).await
    }

    async fn all(&self) -> Result<Vec<RoomRecord>, StoreError> {
        self.writer.run(|world| world.registry.values().cloned().collect()).await
    }
}
