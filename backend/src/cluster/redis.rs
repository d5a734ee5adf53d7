//! The room store on Redis. A room is one agreed order of its events: each process decides by the kernel on
//! its own copy, and appends what follows if the copy was the newest.

mod ceiling;
mod checkpoint;
mod desk;
mod durability;
mod find;
mod job;
mod keys;
mod link;
mod pack;
mod parts;
mod presence;
mod relay;
mod remake;
mod rivals;
mod rooms;
mod scripts;
mod server;

use std::sync::Arc;

use kernel::ports::{Clock, Entropy, EventLog, Rebuilt, Registry, RoomKeeper, StoreError};
use kernel::room::Room;
use kernel::words::{RoomId, Timestamp, hex};
use tokio_util::sync::CancellationToken;

use self::keys::Space;
use self::link::{Fault, Link};
use self::parts::Parts;
use self::relay::Relay;
use self::rooms::Rooms;
use self::scripts::Scripts;
use self::server::{IN_THE_END, SOON, Server};
use crate::cluster::postgres::Ceilings;
use crate::entropy::SystemEntropy;

/// Rooms, presence and leases of one Turnline in Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisRooms {
    rooms: Arc<Rooms>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "this is no address of a Redis ({0}); write redis://NAME:PASSWORD@HOST:PORT, or redis+cluster://… with any node of a cluster"
    )]
    BadUrl(String),
    #[error("Redis does not answer: {0}; is it running, and are name and password right?")]
    Unreachable(String),
}

impl RedisRooms {
    /// Connects to the rooms of `namespace` on the Redis at `redis://HOST:PORT`, or on the cluster that the
    /// node at `redis+cluster://HOST:PORT` belongs to. `log` is what lost rooms are made anew from, and `ceilings` how
    /// far their numbers may go.
    ///
    /// # Errors
    /// The address is none, or Redis does not answer.
    pub async fn connect(
        url: &str,
        namespace: &str,
        log: Arc<dyn EventLog>,
        ceilings: Arc<dyn Ceilings>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        let server =
            |response| Server::at(url, response).map_err(|error| ConnectError::BadUrl(error.to_string()));
        let node = hex(&SystemEntropy.bytes()[..6]);
        let scripts =
            |server| Scripts { link: Link::new(server), space: Space::new(namespace), node: node.clone() };
        let (soon, bulk) = (server(SOON)?, server(IN_THE_END)?);
        let parts = Parts::new([scripts(soon.clone()), scripts(soon), scripts(bulk)], log, ceilings, clock);
        let connected = Self { rooms: Rooms::new(Arc::new(parts)) };
        connected.ping().await.map_err(|away| ConnectError::Unreachable(away.to_string()))?;
        durability::look(&connected.rooms.parts.aside.link).await;
        Ok(connected)
    }

    /// Moves events to the log until `stop`: of every room in `registry`, and of those this process works on.
    /// Several processes may; each room is relayed by one at a time.
    pub async fn relay(&self, registry: Arc<dyn Registry>, stop: CancellationToken) {
        Relay::new(self.rooms.clone(), registry).run(stop).await;
    }

    /// Whether Redis answers now.
    ///
    /// # Errors
    /// It does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        Ok(self.ping().await?)
    }

    async fn ping(&self) -> Result<(), Fault> {
        let answer: Result<String, _> = self.rooms.parts.scripts.link.run(&redis::cmd("PING")).await;
        answer.map(drop)
    }
}

impl RoomKeeper for RedisRooms {
    async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.rooms.act(room, act).await
    }

    async fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        make: impl FnMut() -> Room + Send + 'static,
    ) -> Result<(), StoreError> {
        self.rooms.act_or_make(room, act, make).await
    }

    async fn remake(&self, room: &RoomId, _now: Timestamp) -> Result<Rebuilt, StoreError> {
        self.rooms.remake(room).await
    }
}
