//! What all connections of this process share: ports, mirrors, halls, shards, the number of connections.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use dashmap::DashMap;
use edge::mirror::{Mirror, Mirrors};
use edge::rooms::Rooms;
use kernel::words::RoomId;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::hall::Hall;
use crate::shard::{Post, Shards};
use crate::{ChannelConfig, ChannelPorts};

pub struct Core {
    pub config: ChannelConfig,
    pub ports: ChannelPorts,
    pub rooms: Rooms,
    pub mirrors: Arc<Mirrors>,
    /// Set once, when the process stops: nobody new, and everybody is sent elsewhere.
    pub draining: CancellationToken,
    /// A hall lives as long as somebody passes its events on.
    halls: DashMap<RoomId, Weak<Hall>>,
    halls_opened: AtomicU64,
    /// Started with the first connection: a process that only describes the API has none.
    shards: OnceLock<Arc<Shards>>,
    starting: Mutex<()>,
    pub door: Door,
}

impl Core {
    pub fn new(config: ChannelConfig, ports: ChannelPorts) -> Arc<Self> {
        let (most, per_address) = (config.sockets_max, config.sockets_per_address);
        let group = format!("client-channel-{}", config.node);
        Arc::new(Self {
            rooms: Rooms::new(ports.registry.clone()),
            mirrors: Mirrors::new(&group, ports.store.clone(), ports.log.clone()),
            draining: CancellationToken::new(),
            halls: DashMap::new(),
            halls_opened: AtomicU64::new(0),
            shards: OnceLock::new(),
            starting: Mutex::new(()),
            door: Door::new(most, per_address, config.handshakes_per_second, Instant::now()),
            config,
            ports,
        })
    }

    /// Sends everybody elsewhere and waits until every connection has ended, at most as long as is configured.
    pub async fn empty(&self) {
        self.draining.cancel();
        if let Some(shards) = self.shards.get() {
            shards.all().for_each(|shard| shard.post(Post::Drain));
        }
        if tokio::time::timeout(self.config.drain, self.door.emptied()).await.is_err() {
            let left = self.door.held();
            tracing::warn!(left, "visitors did not take their leave in time; their connections are cut");
        }
    }

    /// The threads that hold the connections. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// The system gives no thread or no poll.
    pub fn shards(&self) -> io::Result<Arc<Shards>> {
        let _one_at_a_time = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shards) = self.shards.get() {
            return Ok(shards.clone());
        }
        let shards = Arc::new(Shards::start(&self.config, &self.ports)?);
        Ok(self.shards.get_or_init(|| shards).clone())
    }

    /// Where a room's connections belong.
    ///
    /// # Errors
    /// As [`Core::shards`].
    pub fn hall(self: &Arc<Self>, mirror: &Arc<Mirror>) -> io::Result<Arc<Hall>> {
        let shards = self.shards()?;
        let mut known = self.halls.entry(mirror.room().clone()).or_default();
        if let Some(hall) = known.upgrade() {
            // A room that was forgotten and made anew has another mirror.
            if Arc::ptr_eq(&hall.mirror, mirror) && !hall.is_closed() {
                return Ok(hall);
            }
            hall.close();
        }
        let id = self.halls_opened.fetch_add(1, Ordering::Relaxed);
        let hall = Hall::open(id, self.clone(), mirror.clone(), shards);
        *known = Arc::downgrade(&hall);
        Ok(hall)
    }
}
