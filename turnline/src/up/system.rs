//! The five services over the embedded backend, put together. They meet through ports and events only.

use std::sync::Arc;

use active_queue::ActiveQueue;
use anyhow::Context;
use backend::clock::SystemClock;
use backend::embedded::{Embedded, InProcessLeases, InProcessPresence, Options, SqliteReservations};
use backend::entropy::SystemEntropy;
use client_channel::{ChannelConfig, ChannelPorts, ClientChannel};
use edge::rooms::Rooms;
use edge::{AdminToken, Problem};
use expiration::Expiration;
use kernel::pass::PassKey;
use kernel::ports::{Clock, EventLog, Leases, Presence, Registry, ReservationStore, RoomStore};
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

/// What the services' ports are made of.
struct Ports {
    store: Arc<dyn RoomStore>,
    registry: Arc<dyn Registry>,
    log: Arc<dyn EventLog>,
    presence: Arc<dyn Presence>,
    leases: Arc<dyn Leases>,
    clock: Arc<dyn Clock>,
    tickets: TicketKey,
    passes: PassKey,
    admin: AdminToken,
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
        let ports = Ports::over(&rooms, secrets)?;
        let waiting = waiting_queue::Config {
            node: NODE.to_owned(),
            joins_per_minute_per_address: settings.joins_per_minute_per_address,
        };
        let shop = reservation_api::Config {
            max_holds: settings.max_holds,
            charges_enabled: settings.charges || settings.demo,
            ..reservation_api::Config::default()
        };
        Ok(Self {
            waiting_queue: WaitingQueue::new(waiting, ports.waiting_queue()),
            active_queue: ActiveQueue::new(active_queue::Config::new(NODE), ports.active_queue()),
            expiration: Expiration::new(expiration::Config::default(), ports.expiration()),
            client_channel: ClientChannel::new(channel_config(settings, files), ports.client_channel()),
            reservation_api: ReservationApi::new(shop, ports.reservation_api(reservations.clone())),
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

impl Ports {
    fn over(rooms: &Embedded, secrets: &Secrets) -> anyhow::Result<Self> {
        let secret = secrets.secret.as_bytes();
        Ok(Self {
            store: Arc::new(rooms.clone()),
            registry: Arc::new(rooms.clone()),
            log: Arc::new(rooms.clone()),
            presence: Arc::new(InProcessPresence::default()),
            leases: Arc::new(InProcessLeases::new(Arc::new(SystemClock))),
            clock: Arc::new(SystemClock),
            tickets: TicketKey::new(secret),
            passes: PassKey::new(secret).context("no keys can be made of the secret")?,
            admin: AdminToken::new(&secrets.admin_token),
        })
    }

    fn waiting_queue(&self) -> waiting_queue::Ports {
        waiting_queue::Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            presence: self.presence.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            tickets: self.tickets.clone(),
            passes: self.passes.clone(),
            admin: self.admin.clone(),
        }
    }

    fn active_queue(&self) -> active_queue::Ports {
        active_queue::Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            leases: self.leases.clone(),
            clock: self.clock.clone(),
            tickets: self.tickets.clone(),
        }
    }

    fn expiration(&self) -> expiration::Ports {
        expiration::Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            presence: self.presence.clone(),
            clock: self.clock.clone(),
        }
    }

    fn client_channel(&self) -> ChannelPorts {
        ChannelPorts {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            presence: self.presence.clone(),
            clock: self.clock.clone(),
            tickets: self.tickets.clone(),
            passes: self.passes.clone(),
        }
    }

    fn reservation_api(&self, bookings: Arc<dyn ReservationStore>) -> reservation_api::Ports {
        reservation_api::Ports {
            store: bookings,
            rooms: self.store.clone(),
            registry: Rooms::new(self.registry.clone()),
            log: self.log.clone(),
            clock: self.clock.clone(),
            pass_key: self.passes.clone(),
            admin: self.admin.clone(),
        }
    }
}

fn channel_config(settings: &Settings, files: Option<u64>) -> ChannelConfig {
    let mut config = ChannelConfig::new(NODE);
    let allowed =
        files.map(|files| usize::try_from(files.saturating_sub(FILES_BESIDE)).unwrap_or(usize::MAX));
    config.sockets_max = settings.sockets_max.or(allowed).unwrap_or(usize::MAX);
    config
}
