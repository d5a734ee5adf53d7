//! Admission: calls the next of each room as slots come free and the pace allows, opens and closes rooms
//! when their time has come, gives paid slots back, and tells each room's progress once a tick.

mod desk;
mod floor;
mod payments;

use std::sync::Arc;
use std::time::Duration;

use edge::{consume, consume_side_by_side};
use kernel::event::Topic;
use kernel::ports::{Clock, EventLog, Leases, Registry, RoomStore, StartAt, Subscription};
use kernel::ticket::TicketKey;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::floor::Floor;

/// The consumer group whose commits say which payments have freed their slots.
const GROUP: &str = "active-queue";
/// What only wakes a room is not committed: a tick catches up with what was missed.
const WAKES: &str = "active-queue-wakes";
/// Payments on their way to the store at a time, so that their slots come free in one commit of it.
const PAYMENTS_AT_ONCE: usize = 64;

#[derive(Debug, Clone)]
pub struct Config {
    /// This process among its replicas.
    pub node: String,
    /// How often each room is looked at, whatever happens in it.
    pub tick: Duration,
}

impl Config {
    pub fn new(node: impl Into<String>) -> Self {
        Self { node: node.into(), tick: Duration::from_secs(1) }
    }
}

/// What admission asks of the world.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn RoomStore>,
    pub registry: Arc<dyn Registry>,
    pub log: Arc<dyn EventLog>,
    /// Says which replica tells a room's progress.
    pub leases: Arc<dyn Leases>,
    pub clock: Arc<dyn Clock>,
    /// Names the arrivals that a lottery is drawn over.
    pub tickets: TicketKey,
}

pub struct ActiveQueue {
    config: Config,
    ports: Ports,
}

impl ActiveQueue {
    pub fn new(config: Config, ports: Ports) -> Self {
        Self { config, ports }
    }

    /// Nothing is asked of this service over HTTP beyond health and figures.
    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }

    /// Admits until stopped; a store or log that fails is asked again.
    pub async fn run(self, stop: CancellationToken) {
        let floor = Floor::new(self.config.clone(), self.ports.clone(), stop.clone());
        let log = self.ports.log.as_ref();
        let subscription = |group: &str, topics: &[Topic], start| Subscription {
            group: group.to_owned(),
            topics: topics.to_vec(),
            start,
        };
        let rooms = [Topic::Rooms, Topic::WaitingTokens, Topic::ActiveTokens];
        let wakes = consume(log, subscription(WAKES, &rooms, StartAt::Tail), stop.clone(), |record| {
            floor.hear(&record);
            std::future::ready(Ok::<(), std::convert::Infallible>(()))
        });
        let paid = subscription(GROUP, &[Topic::Payments], StartAt::Committed);
        let payments = consume_side_by_side(log, paid, stop.clone(), PAYMENTS_AT_ONCE, |record| {
            payments::settle(&self.ports, &floor, record)
        });
        tokio::join!(wakes, payments, floor.keep_known());
        floor.close().await;
    }
}
