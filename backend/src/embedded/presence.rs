//! Presence within one process: it begins anew with the process, as absence has to.

use std::collections::HashMap;

use async_trait::async_trait;
use dashmap::DashMap;
use kernel::ports::{Lookout, Presence, StoreError};
use kernel::words::{RoomId, Timestamp};
use roaring::RoaringTreemap;

#[derive(Default)]
pub struct InProcessPresence {
    rooms: DashMap<RoomId, HashMap<String, Report>>,
    /// Until when somebody looks out.
    lookouts: DashMap<Lookout, Timestamp>,
}

struct Report {
    present: RoaringTreemap,
    until: Timestamp,
}

#[async_trait]
impl Presence for InProcessPresence {
    async fn report(
        &self,
        node: &str,
        room: &RoomId,
        present: RoaringTreemap,
        lease_seconds: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let report = Report { present, until: now.plus_seconds(lease_seconds) };
        self.rooms.entry(room.clone()).or_default().insert(node.to_owned(), report);
        Ok(())
    }

    async fn present(&self, room: &RoomId, now: Timestamp) -> Result<RoaringTreemap, StoreError> {
        let Some(mut reports) = self.rooms.get_mut(room) else { return Ok(RoaringTreemap::new()) };
        reports.retain(|_, report| now < report.until);
        Ok(reports.values().fold(RoaringTreemap::new(), |all, report| all | &report.present))
    }

    async fn look_out(&self, by: Lookout, lease_seconds: u64, now: Timestamp) -> Result<(), StoreError> {
        self.lookouts.insert(by, now.plus_seconds(lease_seconds));
        Ok(())
    }

    async fn looked_out(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(Lookout::ALL.iter().all(|by| self.lookouts.get(by).is_some_and(|until| now < *until)))
    }
}
