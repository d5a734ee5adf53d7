//! Presence within one process: it begins anew with the process, as absence has to.

use std::collections::HashMap;

use async_trait::async_trait;
use dashmap::DashMap;
use kernel::ports::{Presence, StoreError};
use kernel::words::{RoomId, Timestamp};
use roaring::RoaringTreemap;

#[derive(Default)]
pub struct InProcessPresence(DashMap<RoomId, HashMap<String, Report>>);

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
        self.0.entry(room.clone()).or_default().insert(node.to_owned(), report);
        Ok(())
    }

    async fn present(&self, room: &RoomId, now: Timestamp) -> Result<RoaringTreemap, StoreError> {
        let Some(mut reports) = self.0.get_mut(room) else { return Ok(RoaringTreemap::new()) };
        reports.retain(|_, report| now < report.until);
        Ok(reports.values().fold(RoaringTreemap::new(), |all, report| all | &report.present))
    }
}
