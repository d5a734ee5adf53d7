//! Who is there, and who does what: nodes and holders under leases that Redis lets run out by its own clock.

use async_trait::async_trait;
use kernel::ports::{Leases, Lookout, Presence, StoreError};
use kernel::words::{RoomId, Timestamp};
use redis::cmd;
use roaring::RoaringTreemap;

use super::RedisRooms;

#[async_trait]
impl Presence for RedisRooms {
    async fn report(
        &self,
        node: &str,
        room: &RoomId,
        mut present: RoaringTreemap,
        lease_seconds: u64,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        present.optimize();
        let mut bitmap = Vec::with_capacity(present.serialized_size());
        present.serialize_into(&mut bitmap).map_err(|error| StoreError::Broken(error.to_string()))?;
        let scripts = &self.rooms.parts.aside;
        let keys = scripts.space.room(room);
        Ok(scripts.report(&keys, node, &bitmap, lease_seconds * 1_000).await?)
    }

    async fn present(&self, room: &RoomId, _now: Timestamp) -> Result<RoaringTreemap, StoreError> {
        let scripts = &self.rooms.parts.aside;
        let keys = scripts.space.room(room);
        let nodes: Vec<String> = scripts.link.run(cmd("ZRANGE").arg(&keys.nodes).arg(0).arg(-1)).await?;
        if nodes.is_empty() {
            return Ok(RoaringTreemap::new());
        }
        let mut get = cmd("MGET");
        for node in &nodes {
            get.arg(keys.present(node));
        }
        let bitmaps: Vec<Option<Vec<u8>>> = scripts.link.run(&get).await?;
        let mut everyone = RoaringTreemap::new();
        for bitmap in bitmaps.into_iter().flatten() {
            let read = RoaringTreemap::deserialize_from(bitmap.as_slice());
            everyone |= read.map_err(|error| StoreError::Broken(error.to_string()))?;
        }
        Ok(everyone)
    }

    async fn look_out(&self, by: Lookout, lease_seconds: u64, _now: Timestamp) -> Result<(), StoreError> {
        let scripts = &self.rooms.parts.aside;
        let mut set = cmd("SET");
        set.arg(scripts.space.lookout(by)).arg(1).arg("EX").arg(lease_seconds);
        Ok(scripts.link.run(&set).await?)
    }

    async fn looked_out(&self, _now: Timestamp) -> Result<bool, StoreError> {
        let scripts = &self.rooms.parts.aside;
        for by in Lookout::ALL {
            if !scripts.link.run::<bool>(cmd("EXISTS").arg(scripts.space.lookout(by))).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl Leases for RedisRooms {
    async fn hold(&self, what: &str, holder: &str, seconds: u64) -> Result<bool, StoreError> {
        Ok(self.rooms.parts.aside.lease(what, holder, seconds * 1_000).await?)
    }

    async fn release(&self, what: &str, holder: &str) -> Result<(), StoreError> {
        self.rooms.parts.aside.release(what, holder).await?;
        Ok(())
    }
}
