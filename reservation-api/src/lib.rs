//! The shop behind the queue: concerts, seats, holds, balance, payments. A pass opens it, a payment frees
//! the visitor's slot; what happened leaves through a transactional outbox.

mod admin;
mod catalogue;
mod follow;
mod inbox;
mod money;
mod notifier;
mod paging;
mod payments;
mod problems;
mod relay;
mod reservations;
mod seat_maps;
mod sweep;
mod visitor;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use edge::AdminToken;
use edge::rooms::Rooms;
use kernel::pass::PassKey;
use kernel::ports::reservations::Added;
use kernel::ports::{Clock, EventLog, ReservationStore, RoomStore, StoreError};
use kernel::reservation::{BadConcert, Concert};
use kernel::words::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

pub use notifier::{BadWebhook, Webhook};
use seat_maps::SeatMaps;

#[derive(Debug, Clone)]
pub struct Config {
    /// Seats one slot may hold at once.
    pub max_holds: u64,
    /// Whether visitors may charge their own balance (`--demo` allows it).
    pub charges_enabled: bool,
    /// How long a list of seats or dates may be shown before it is read again, should an event be missed.
    pub cache_ttl: Duration,
    /// How often outbox and inbox are looked at, beside being woken when there is something new in them.
    pub relay_poll: Duration,
    /// How often holds that ran out and cancellations that got stuck are set right.
    pub sweep_every: Duration,
    /// How long a compensation may take before it is asked for again.
    pub cancel_patience: Duration,
    /// Where people are told of payments and faults.
    pub webhook: Option<Webhook>,
    /// Between two messages to people at least; what happens meanwhile is one message.
    pub notify_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_holds: 4,
            charges_enabled: false,
            cache_ttl: Duration::from_millis(500),
            relay_poll: Duration::from_millis(500),
            sweep_every: Duration::from_secs(1),
            cancel_patience: Duration::from_secs(30),
            webhook: None,
            notify_every: Duration::from_secs(5),
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

/// The Reservation API. Cheap to clone; clones are one service.
#[derive(Clone)]
pub struct ReservationApi {
    shop: Arc<Shop>,
}

/// What handlers and background work share.
struct Shop {
    config: Config,
    ports: Ports,
    seat_maps: SeatMaps,
    /// Rung when there is something in the outbox that somebody waits for.
    posted: Notify,
    /// Rung when there is something else in it, such as a hold: it is told a moment later, with what follows.
    moved: Notify,
    /// Rung when there is something new in the inbox of these.
    slots_moved: Notify,
    cancellations_asked: Notify,
}

impl Shop {
    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// A seat was held, sold or freed here: lists show it from now on, and there is something to be told.
    fn seats_moved(&self, performance_id: &str) {
        self.seat_maps.touch(performance_id);
        self.moved.notify_one();
    }

    fn store(&self) -> &dyn ReservationStore {
        self.ports.store.as_ref()
    }
}

/// A concert that could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(transparent)]
    Bad(#[from] BadConcert),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReservationApi {
    pub fn new(config: Config, ports: Ports) -> Self {
        let seat_maps = SeatMaps::new(ports.store.clone(), config.cache_ttl);
        let shop = Shop {
            config,
            ports,
            seat_maps,
            posted: Notify::new(),
            moved: Notify::new(),
            slots_moved: Notify::new(),
            cancellations_asked: Notify::new(),
        };
        Self { shop: Arc::new(shop) }
    }

    pub fn routes(&self) -> OpenApiRouter {
        let private = OpenApiRouter::new()
            .merge(reservations::routes())
            .merge(payments::routes())
            .merge(money::routes())
            .merge(admin::routes())
            .layer(map_response(unstored));
        OpenApiRouter::new().merge(catalogue::routes()).merge(private).with_state(self.shop.clone())
    }

    /// Relays the outbox, follows sessions and cancellations, sweeps; until `stop`. What was begun is
    /// finished, and what is in the outbox by then is told.
    pub async fn run(self, stop: CancellationToken) {
        let (shop, told) = (self.shop, CancellationToken::new());
        let relay = tokio::spawn(relay::run(shop.clone(), told.clone()));
        tokio::join!(
            follow::sessions(&shop, stop.clone()),
            follow::cancellations(&shop, stop.clone()),
            follow::seats(&shop, stop.clone()),
            follow::rebuilds(&shop, stop.clone()),
            follow::rings(&shop, stop.clone()),
            notifier::run(&shop, stop.clone()),
            sweep::run(&shop, stop.clone()),
        );
        // Last, so that what the others still caused is told.
        told.cancel();
        if relay.await.is_err() {
            tracing::error!(
                "the outbox relay ended in a panic; what it did not tell is told at the next start"
            );
        }
    }

    /// Adds a concert; nothing happens when the very same one is there.
    ///
    /// # Errors
    /// The concert is none, or the store does not answer. One that clashes with what is there is an
    /// answer: see [`Added`].
    pub async fn seed_concert(&self, concert: Concert) -> Result<Added, SeedError> {
        concert.check()?;
        Ok(self.shop.store().add_concert(concert, self.shop.now()).await?)
    }
}

/// What is one visitor's own is kept by no cache.
async fn unstored(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
