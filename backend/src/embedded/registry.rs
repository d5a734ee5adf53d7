//! The registry of rooms, kept in memory and on disk.

use async_trait::async_trait;
use kernel::ports::{Registry, RoomRecord, StoreError};
use kernel::words::RoomId;

use super::Embedded;
use super::world::World;

#[async_trait]
impl Registry for Embedded {
    async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
        let record = record.clone();
        self.writer.run(move |world| world.save(record)).await
    }

    async fn save_policy(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
        let mut record = record.clone();
        let save = move |world: &mut World| {
            if let Some(kept) = world.registry.get(&record.birth.room) {
                record.visitor_key = kept.visitor_key.clone();
            }
            world.save(record)
        };
        self.writer.run(save).await
    }

    async fn load(&self, room: &RoomId) -> Result<Option<RoomRecord>, StoreError> {
        let room = room.clone();
        self.writer.run(move |world| world.registry.get(&room).cloned()).await
    }

    async fn all(&self) -> Result<Vec<RoomRecord>, StoreError> {
        self.writer.run(|world| world.registry.values().cloned().collect()).await
    }
}
