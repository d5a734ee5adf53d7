//! The client channel: a WebSocket or event stream a visitor, over which each hears the own place fall.
//! Shards, one a core, hold the sockets, sweep them once a tick, and send only what changed.

mod arrive;
mod cadence;
mod core;
mod door;
mod frame;
mod hall;
mod hearing;
mod message;
mod outbox;
mod seats;
mod shard;
mod sockets;
mod spread;
mod stream;
mod upgrade;
mod view;
mod visit;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use kernel::pass::PassKey;
use kernel::ports::{Clock, EventLog, Lookout, Presence, Registry, RoomStore};
use kernel::ticket::TicketKey;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::core::Core;

/// How often it is told that channels can be opened here, and how long that holds, in seconds.
const LOOK_OUT_EVERY: Duration = Duration::from_secs(1);
const LOOK_OUT_SECONDS: u64 = 5;

#[derive(Debug, Clone)]
pub struct ChannelConfig {
    /// Names this process among the nodes; no two living ones share a name.
    pub node: String,
    /// How often each socket's figures are looked at.
    pub tick: Duration,
    /// How often a silent visitor is asked for a sign of life; unanswered until the next, the socket is dropped.
    pub ping_every: Duration,
    /// How long one message may take to be taken by a slow visitor before the socket is dropped.
    pub write_timeout: Duration,
    /// The end of the active time is announced this many seconds before, or a fifth of it if that is less.
    pub expiring_seconds: u64,
    /// Sockets at most in this process.
    pub sockets_max: usize,
    /// Connections at most from one address; no limit when absent.
    pub sockets_per_address: Option<u32>,
    /// Connections taken in a second at most; who comes beyond is asked to come again a little later.
    pub handshakes_per_second: u32,
    /// Positions from this one on hear of every third change only; 0 for none.
    pub far_from: u64,
    /// Figures told in a second at most, by each shard; there is one a core.
    pub pushes_per_second: u64,
    /// How long what this node said of who is there holds should it fall silent, in seconds.
    pub lease_seconds: u64,
    /// How long a connecting visitor waits for this node to have caught up with the store.
    pub catch_up: Duration,
    /// How long visitors have to take their leave when the process stops.
    pub drain: Duration,
}

impl ChannelConfig {
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            tick: Duration::from_secs(1),
            ping_every: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
            expiring_seconds: 60,
            sockets_max: 18_000,
            sockets_per_address: None,
            handshakes_per_second: 4_000,
            far_from: 10_000,
            pushes_per_second: 100_000,
            lease_seconds: 10,
            catch_up: Duration::from_secs(3),
            drain: Duration::from_secs(5),
        }
    }
}

/// What the channel asks of the world.
#[derive(Clone)]
pub struct ChannelPorts {
    pub store: Arc<dyn RoomStore>,
    pub registry: Arc<dyn Registry>,
    pub log: Arc<dyn EventLog>,
    pub presence: Arc<dyn Presence>,
    pub clock: Arc<dyn Clock>,
    pub tickets: TicketKey,
    pub passes: PassKey,
}

pub struct ClientChannel {
    core: Arc<Core>,
}

impl ClientChannel {
    pub fn new(config: ChannelConfig, ports: ChannelPorts) -> Self {
        Self { core: Core::new(config, ports) }
    }

    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(arrive::channel)).with_state(self.core.clone())
    }

    /// Follows the rooms until stopped; then tells every visitor to connect again elsewhere, and waits until
    /// they have gone, at most [`ChannelConfig::drain`].
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.core.mirrors.clone().run(stop.clone()), self.look_out(&stop));
        self.core.empty().await;
    }

    async fn look_out(&self, stop: &CancellationToken) {
        let ports = &self.core.ports;
        let mut ticks = tokio::time::interval(LOOK_OUT_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let told = ports.presence.look_out(Lookout::Channels, LOOK_OUT_SECONDS, ports.clock.now()).await;
            if let Err(error) = told {
                tracing::warn!(%error, "it could not be told that channels can be opened here");
            }
        }
    }
}
