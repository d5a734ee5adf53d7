//! The services over one backing, put together: all of them in one process, or one a process. They meet
//! through ports and events only.

pub mod around;
mod backing;
pub mod demo;
pub mod http;
mod ports;
mod role;
pub mod secrets;

use active_queue::ActiveQueue;
use client_channel::ClientChannel;
use expiration::Expiration;
use reservation_api::{ReservationApi, Webhook};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use waiting_queue::WaitingQueue;

use crate::settings::Settings;
pub use backing::{Backing, Readiness};
use ports::Ports;
pub use role::Role;
use secrets::Secrets;

/// Every service is built, so that each process can describe the whole API; `roles` are those at work here.
pub struct System {
    pub waiting_queue: WaitingQueue,
    active_queue: ActiveQueue,
    expiration: Expiration,
    client_channel: ClientChannel,
    pub reservation_api: ReservationApi,
    pub roles: Vec<Role>,
    backing: Backing,
}

/// The services at work, and what they work on.
pub struct Running {
    services: JoinHandle<()>,
    backing: Backing,
}

impl System {
    /// Opens what is beneath and builds the services; `files` is how many the process may open.
    pub async fn open(
        settings: &Settings,
        secrets: &Secrets,
        roles: &[Role],
        files: Option<u64>,
    ) -> anyhow::Result<Self> {
        let node = role::node_name(roles);
        let backing = Backing::open(settings, &node).await?;
        let ports = Ports::over(&backing, secrets)?;
        let waiting = waiting_queue::Config {
            node: node.clone(),
            joins_per_minute_per_address: settings.joins_per_minute_per_address,
        };
        let shop = reservation_api::Config {
            max_holds: settings.max_holds,
            charges_enabled: settings.charges || settings.demo,
            webhook: settings.webhook.as_deref().map(Webhook::parse).transpose()?,
            ..reservation_api::Config::default()
        };
        let channel = settings.channel.config(&node, files);
        Ok(Self {
            waiting_queue: WaitingQueue::new(waiting, ports.waiting_queue()),
            active_queue: ActiveQueue::new(active_queue::Config::new(node), ports.active_queue()),
            expiration: Expiration::new(expiration::Config::default(), ports.expiration()),
            client_channel: ClientChannel::new(channel, ports.client_channel()),
            reservation_api: ReservationApi::new(shop, ports.reservation_api()),
            roles: roles.to_vec(),
            backing,
        })
    }

    pub fn routes(&self, role: Role) -> OpenApiRouter {
        match role {
            Role::WaitingQueue => self.waiting_queue.routes(),
            Role::ActiveQueue => self.active_queue.routes(),
            Role::Expiration => self.expiration.routes(),
            Role::ClientChannel => self.client_channel.routes(),
            Role::ReservationApi => self.reservation_api.routes(),
        }
    }

    /// Runs the services of this process until `stop`.
    pub fn start(self, stop: &CancellationToken) -> Running {
        let mut services = JoinSet::new();
        let here = |role| self.roles.contains(&role);
        if here(Role::WaitingQueue) {
            services.spawn(self.waiting_queue.run(stop.clone()));
        }
        if here(Role::ActiveQueue) {
            services.spawn(self.active_queue.run(stop.clone()));
        }
        if here(Role::Expiration) {
            services.spawn(self.expiration.run(stop.clone()));
        }
        if here(Role::ClientChannel) {
            services.spawn(self.client_channel.run(stop.clone()));
        }
        if here(Role::ReservationApi) {
            services.spawn(self.reservation_api.run(stop.clone()));
        }
        let relays = self.roles.iter().any(|role| role.relays());
        let services = tokio::spawn(watch(services, self.backing.clone(), relays, stop.clone()));
        Running { services, backing: self.backing }
    }

    pub fn readiness(&self) -> Readiness {
        self.backing.readiness()
    }
}

impl Running {
    /// Waits until every service has finished.
    pub async fn finished(&mut self) {
        // A panic within was told when it happened.
        let _ = (&mut self.services).await;
    }

    /// Puts everything on disk, or takes leave of the servers.
    pub async fn close(self) {
        self.backing.close().await;
    }
}

/// Until every service has finished; then the relay of what they still caused ends too.
async fn watch(mut services: JoinSet<()>, backing: Backing, relays: bool, stop: CancellationToken) {
    let told = CancellationToken::new();
    let relay = tokio::spawn({
        let told = told.clone();
        async move {
            if relays {
                backing.relay(told).await;
            }
        }
    });
    while let Some(ended) = services.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a service ended by a fault of ours; the process stops");
            stop.cancel();
        }
    }
    told.cancel();
    if let Err(error) = relay.await {
        tracing::error!(%error, "the relay of events ended by a fault of ours; another process takes over");
    }
}
