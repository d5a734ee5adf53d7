//! The waiting-queue service: join, leave, status, room policy; the passes' public key and `authorize`.

mod admin;
mod admin_channel;
mod answer;
mod authorize;
mod dead_letters;
mod join;
mod joiner;
mod outlook;
mod polls;
mod rate;
mod rebuild;
mod room;
mod ticket;

use std::sync::Arc;

use edge::mirror::Mirrors;
use edge::rooms::Rooms;
use edge::{AdminToken, Problem};
use kernel::event::{Event, RoomFact, Topic};
use kernel::lottery;
use kernel::pass::PassKey;
use kernel::ports::{
    Clock, DeadLetters, Entropy, EventLog, Presence, Registry, RoomStore, StartAt, Subscription,
};
use kernel::ticket::TicketKey;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use joiner::Joiner;
use polls::Polls;
use rate::JoinRate;

#[derive(Debug, Clone)]
pub struct Config {
    /// This process among its replicas; part of the name under which it reports presence.
    pub node: String,
    /// Joins one address may make a minute; no limit when absent.
    pub joins_per_minute_per_address: Option<u32>,
}

#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn RoomStore>,
    pub registry: Arc<dyn Registry>,
    pub log: Arc<dyn EventLog>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub presence: Arc<dyn Presence>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub tickets: TicketKey,
    pub passes: PassKey,
    pub admin: AdminToken,
}

/// The service; cheap to clone.
#[derive(Clone)]
pub struct WaitingQueue {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    ports: Ports,
    rooms: Rooms,
    mirrors: Arc<Mirrors>,
    joiner: Joiner,
    polls: Polls,
    rate: JoinRate,
    draws: room::Draws,
    operators: admin_channel::Operators,
    /// Held while a room is configured: two policies never overtake each other between registry and store.
    configuring: tokio::sync::Mutex<()>,
}

impl WaitingQueue {
    pub fn new(config: Config, ports: Ports) -> Self {
        let group = format!("waiting-queue-{}", config.node);
        let shared = Shared {
            mirrors: Mirrors::new(&group, ports.store.clone(), ports.log.clone()),
            rooms: Rooms::new(ports.registry.clone()),
            joiner: Joiner::new(ports.store.clone(), ports.clock.clone()),
            polls: Polls::new(format!("waiting-queue.{}", config.node)),
            rate: JoinRate::new(config.joins_per_minute_per_address),
            draws: room::Draws::default(),
            operators: admin_channel::Operators::default(),
            configuring: tokio::sync::Mutex::default(),
            ports,
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(join::join))
            .routes(routes!(ticket::status, ticket::leave))
            .routes(routes!(ticket::renew))
            .routes(routes!(room::public_state))
            .routes(routes!(authorize::authorize))
            .routes(routes!(authorize::jwks))
            .routes(routes!(admin::list))
            .routes(routes!(admin::show, admin::configure))
            .routes(routes!(admin::order))
            .routes(routes!(admin::notice))
            .routes(routes!(admin::stats))
            .routes(routes!(admin_channel::channel))
            .routes(routes!(admin::revoke))
            .routes(routes!(rebuild::rebuild))
            .routes(routes!(dead_letters::list))
            .routes(routes!(dead_letters::show))
            .routes(routes!(dead_letters::replay))
            .with_state(self.shared.clone())
    }

    /// Follows the rooms that are polled; puts the registry's rooms in force, then reports polls as presence
    /// and follows policy changes; at the end tells operators who look on to connect again.
    pub async fn run(self, stop: CancellationToken) {
        let mirrors = self.shared.mirrors.clone().run(stop.clone());
        tokio::join!(mirrors, self.keep_rooms(stop));
        self.shared.operators.dismiss().await;
    }

    async fn keep_rooms(&self, stop: CancellationToken) {
        self.reconcile(&stop).await;
        let polls = self.shared.polls.report(&self.shared.ports, stop.clone());
        let rooms = &self.shared.rooms;
        let follow = Subscription {
            group: "waiting-queue.policies".to_owned(),
            topics: vec![Topic::Rooms],
            start: StartAt::Tail,
        };
        let evict = edge::consume(self.shared.ports.log.as_ref(), follow, stop, |record| async move {
            if let Event::Room(event) = &record.event
                && matches!(event.fact, RoomFact::RoomConfigured { .. })
            {
                rooms.forget(&event.room);
            }
            Ok::<_, std::convert::Infallible>(())
        });
        tokio::join!(polls, evict);
    }

    /// A room that was registered but never reached the store gets there now.
    async fn reconcile(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.put_rooms_in_force().await {
                Ok(()) => return,
                Err(problem) => {
                    tracing::warn!(code = problem.code, "rooms cannot be put in force yet; trying again")
                }
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    async fn put_rooms_in_force(&self) -> Result<(), Problem> {
        for record in self.shared.rooms.all().await? {
            self.shared.put_in_force(&record).await?;
        }
        Ok(())
    }

    /// Makes a room, or puts another policy in force; as `PUT /v1/admin/rooms/{room}` does.
    pub async fn configure_room(
        &self,
        room: &kernel::words::RoomId,
        policy: kernel::policy::Policy,
    ) -> Result<(), Problem> {
        self.shared.configure(room, policy, admin::KeyChange::Keep).await.map(|_| ())
    }
}

impl Shared {
    fn now(&self) -> kernel::words::Timestamp {
        self.ports.clock.now()
    }

    async fn put_in_force(&self, record: &kernel::ports::RoomRecord) -> Result<(), Problem> {
        let commitment = kernel::words::hex(&lottery::commitment(&record.lottery_secret));
        let room = &record.birth.room;
        Ok(self.ports.store.configure(room, &record.policy, Some(commitment), self.now()).await?)
    }
}
