//! The five services over the embedded backend, put together. They meet through ports and events only.

use std::sync::Arc;

use active_queue::ActiveQueue;
use anyhow::Context;
use backend::clock::SystemClock;
use backend::embedded::{Embedded, InProcessPresence, Options, SqliteReservations};
use backend::entropy::SystemEntropy;
use client_channel::{ChannelConfig, ChannelPorts, ClientChannel};
use edge::rooms::Rooms;
use edge::{AdminToken, Problem};
use expiration::Expiration;
use kernel::pass::PassKey;
use kernel::ports::{Clock, EventLog, Presence, Registry, ReservationStore, RoomStore};
use kernel::ticket::TicketKey;
use reservation_api::ReservationApi;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use waiting_queue::WaitingQueue;

use super::secrets::Secrets;
use crate::settings::Settings;

/// This process among the nodes: there is one.
const NODE: &str = "up";
/// Files open beside visitors' channels: databases, logs, calls of the API.
const FILES_BESIDE: u64 = 1_000;

pub struct System {
    pub waiting_queue: WaitingQueue,
    pub active_queue: ActiveQueue,
    pub expiration: Expiration,
    pub client_channel: ClientChannel,
    pub reservation_api: ReservationApi,
    rooms: Embedded,
    reservations: Arc<SqliteReservations>,
}

/// The services at work, and the files they work on.
pub struct Running {
    services: JoinHandle<()>,
    rooms: Embedded,
    reservations: Arc<SqliteReservations>,
}

/// Whether what we depend on answers.
pub struct Readiness {
    registry: Arc<dyn Registry>,
}

impl Readiness {
    pub async fn check(&self) -> Result<(), Problem> {
        self.registry.all().await?;
        Ok(())
    }
}

impl System {
    /// Opens the data directory and builds the services; `files` is how many the process may open.
    pub async fn open(settings: &Settings, secrets: &Secrets, files: Option<u64>) -> anyhow::Result<Self> {
        let directory = settings.data_dir.clone();
        let open = move || -> anyhow::Result<_> {
            let rooms = Embedded::open(&directory, Options::default())?;
            Ok((rooms, Arc::new(SqliteReservations::open(&directory)?)))
        };
        let (rooms, reservations) = tokio::task::spawn_blocking(open).await??;
        let tickets = TicketKey::new(secrets.secret.as_bytes());
        let passes = PassKey::new(secrets.secret.as_bytes()).context("no keys can be made of the secret")?;
        let admin = AdminToken::new(&secrets.admin_token);
        let store: Arc<dyn RoomStore> = Arc::new(rooms.clone());
        let registry: Arc<dyn Registry> = Arc::new(rooms.clone());
        let log: Arc<dyn EventLog> = Arc::new(rooms.clone());
        let presence: Arc<dyn Presence> = Arc::new(InProcessPresence::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bookings: Arc<dyn ReservationStore> = reservations.clone();
        Ok(Self {
            waiting_queue: WaitingQueue::new(
                waiting_queue::Config {
                    node: NODE.to_owned(),
                    joins_per_minute_per_address: settings.joins_per_minute_per_address,
                },
                waiting_queue::Ports {
                    store: store.clone(),
                    registry: registry.clone(),
                    log: log.clone(),
                    presence: presence.clone(),
                    clock: clock.clone(),
                    entropy: Arc::new(SystemEntropy),
                    tickets: tickets.clone(),
                    passes: passes.clone(),
                    admin: admin.clone(),
                },
            ),
            active_queue: ActiveQueue::new(
                active_queue::Config::default(),
                active_queue::Ports {
                    store: store.clone(),
                    registry: registry.clone(),
                    log: log.clone(),
                    clock: clock.clone(),
                    tickets: tickets.clone(),
                },
            ),
            expiration: Expiration::new(
                expiration::Config::default(),
                expiration::Ports {
                    store: store.clone(),
                    registry: registry.clone(),
                    log: log.clone(),
                    presence: presence.clone(),
                    clock: clock.clone(),
                },
            ),
            client_channel: ClientChannel::new(
                channel_config(settings, files),
                ChannelPorts {
                    store: store.clone(),
                    registry: registry.clone(),
                    log: log.clone(),
                    presence,
                    clock: clock.clone(),
                    tickets,
                    passes: passes.clone(),
                },
            ),
            reservation_api: ReservationApi::new(
                reservation_api::Config {
                    max_holds: settings.max_holds,
                    charges_enabled: settings.charges || settings.demo,
                    ..reservation_api::Config::default()
                },
                reservation_api::Ports {
                    store: bookings,
                    rooms: store,
                    registry: Rooms::new(registry),
                    log,
                    clock,
                    pass_key: passes,
                    admin,
                },
            ),
            rooms,
            reservations,
        })
    }

    /// Runs every service until `stop`.
    pub fn start(self, stop: &CancellationToken) -> Running {
        let mut services = JoinSet::new();
        services.spawn(self.waiting_queue.run(stop.clone()));
        services.spawn(self.active_queue.run(stop.clone()));
        services.spawn(self.expiration.run(stop.clone()));
        services.spawn(self.client_channel.run(stop.clone()));
        services.spawn(self.reservation_api.run(stop.clone()));
        let stop = stop.clone();
        let services = tokio::spawn(async move {
            while let Some(ended) = services.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a service ended by a fault of ours; the process stops");
                    stop.cancel();
                }
            }
        });
        Running { services, rooms: self.rooms, reservations: self.reservations }
    }

    pub fn readiness(&self) -> Arc<Readiness> {
        Arc::new(Readiness { registry: Arc::new(self.rooms.clone()) })
    }
}

impl Running {
    /// Waits until every service has finished.
    pub async fn finished(&mut self) {
        // A panic within was told when it happened.
        let _ = (&mut self.services).await;
    }

    /// Puts everything on disk. Blocks.
    pub fn close(self) {
        self.reservations.close();
        self.rooms.close();
    }
}

fn channel_config(settings: &Settings, files: Option<u64>) -> ChannelConfig {
    let mut config = ChannelConfig::new(NODE);
    let allowed =
        files.map(|files| usize::try_from(files.saturating_sub(FILES_BESIDE)).unwrap_or(usize::MAX));
    config.sockets_max = settings.sockets_max.or(allowed).unwrap_or(usize::MAX);
    config
}
