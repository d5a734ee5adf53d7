//! What all connections of this process share: ports, mirrors, shards, the number of sockets.

use std::sync::Arc;

use dashmap::DashMap;
use edge::Problem;
use edge::mirror::{Mirror, Mirrors};
use edge::rooms::Rooms;
use kernel::words::RoomId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::shard::{self, Arrival};
use crate::{ChannelConfig, ChannelPorts};

pub struct Core {
    pub config: ChannelConfig,
    pub ports: ChannelPorts,
    pub rooms: Rooms,
    pub mirrors: Arc<Mirrors>,
    /// Set once, when the process stops: nobody new, and everybody is sent elsewhere.
    pub draining: CancellationToken,
    shards: DashMap<RoomId, (Arc<Mirror>, mpsc::Sender<Arrival>)>,
    places: Arc<Semaphore>,
    places_max: u32,
}

/// One connection's place among those this process can hold.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Core {
    pub fn new(config: ChannelConfig, ports: ChannelPorts) -> Arc<Self> {
        // A limit that no process reaches is none: what the semaphore counts with is enough.
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let places_max = u32::try_from(config.sockets_max).unwrap_or(u32::MAX).min(most);
        let group = format!("client-channel-{}", config.node);
        Arc::new(Self {
            rooms: Rooms::new(ports.registry.clone()),
            mirrors: Mirrors::new(&group, ports.store.clone(), ports.log.clone()),
            draining: CancellationToken::new(),
            shards: DashMap::new(),
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
            config,
            ports,
        })
    }

    pub fn place(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        metrics::gauge!("turnline_channel_sockets").increment(1.0);
        Some(Place { _permit: permit })
    }

    /// Waits until every connection has ended, at most as long as is configured.
    pub async fn emptied(&self) {
        let all = self.places_max;
        if tokio::time::timeout(self.config.drain, self.places.acquire_many(all)).await.is_err() {
            let left = (all as usize).saturating_sub(self.places.available_permits());
            tracing::warn!(left, "visitors did not take their leave in time; their connections are cut");
        }
    }

    /// Where a room's connections get their seats.
    pub fn shard(self: &Arc<Self>, mirror: &Arc<Mirror>) -> Result<mpsc::Sender<Arrival>, Problem> {
        let start = || shard::start(self.clone(), mirror.clone()).ok_or_else(Problem::unavailable);
        let entry = self.shards.entry(mirror.room().clone());
        let mut known = entry.or_try_insert_with(|| start().map(|sender| (mirror.clone(), sender)))?;
        // A room that was forgotten and made anew has another mirror; its old shard ends with its sender.
        if !Arc::ptr_eq(&known.0, mirror) || known.1.is_closed() {
            *known = (mirror.clone(), start()?);
        }
        Ok(known.1.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("turnline_channel_sockets").decrement(1.0);
    }
}
