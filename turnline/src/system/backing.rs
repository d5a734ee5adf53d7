//! What is beneath the services: files of this process, or servers that many processes share.

use std::sync::Arc;

use anyhow::bail;
use backend::clock::SystemClock;
use backend::cluster::{Cluster, ClusterConfig};
use backend::embedded::{Embedded, InProcessLeases, InProcessPresence, Options, SqliteReservations};
use edge::Problem;
use kernel::ports::{DeadLetters, EventLog, Leases, Presence, Registry, ReservationStore, RoomStore};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// Cheap to clone; clones are one.
#[derive(Clone)]
pub enum Backing {
    Files { rooms: Embedded, shop: Arc<SqliteReservations>, beside: Beside },
    Servers(Box<Cluster>),
}

/// What services of one process share beside the files.
#[derive(Clone)]
pub struct Beside {
    presence: Arc<InProcessPresence>,
    leases: Arc<InProcessLeases>,
}

/// Whether what we depend on answers.
#[derive(Clone)]
pub struct Readiness(Backing);

impl Readiness {
    pub async fn check(&self) -> Result<(), Problem> {
        match &self.0 {
            Backing::Files { rooms, .. } => rooms.all().await.map(drop)?,
            Backing::Servers(cluster) => cluster.answers().await?,
        }
        Ok(())
    }
}

impl Backing {
    pub async fn open(settings: &Settings, node: &str) -> anyhow::Result<Self> {
        match (&settings.redis, &settings.kafka, &settings.database) {
            (None, None, None) => Self::files(settings).await,
            (Some(redis), Some(kafka), Some(database)) => {
                let config = ClusterConfig {
                    redis: redis.clone(),
                    kafka: kafka.clone(),
                    database: database.clone(),
                    namespace: settings.namespace.clone(),
                    node: node.to_owned(),
                };
                Ok(Self::Servers(Box::new(Cluster::connect(config, Arc::new(SystemClock)).await?)))
            }
            (redis, kafka, database) => {
                let given = [("--redis", redis), ("--kafka", kafka), ("--database", database)];
                let missing = given.iter().filter(|(_, value)| value.is_none()).map(|(flag, _)| *flag);
                let missing = missing.collect::<Vec<_>>().join(" and ");
                bail!(
                    "the three servers go together: {missing} is missing; give all of --redis, --kafka and --database, or none"
                );
            }
        }
    }

    async fn files(settings: &Settings) -> anyhow::Result<Self> {
        let directory = settings.data_dir.clone();
        let open = move || -> anyhow::Result<_> {
            let rooms = Embedded::open(&directory, Options::default())?;
            Ok((rooms, Arc::new(SqliteReservations::open(&directory)?)))
        };
        let (rooms, shop) = tokio::task::spawn_blocking(open).await??;
        let leases = Arc::new(InProcessLeases::new(Arc::new(SystemClock)));
        Ok(Self::Files { rooms, shop, beside: Beside { presence: Arc::default(), leases } })
    }

    pub fn rooms(&self) -> Arc<dyn RoomStore> {
        match self {
            Self::Files { rooms, .. } => Arc::new(rooms.clone()),
            Self::Servers(cluster) => Arc::new(cluster.rooms.clone()),
        }
    }

    pub fn registry(&self) -> Arc<dyn Registry> {
        match self {
            Self::Files { rooms, .. } => Arc::new(rooms.clone()),
            Self::Servers(cluster) => Arc::new(cluster.registry.clone()),
        }
    }

    pub fn log(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Files { rooms, .. } => Arc::new(rooms.clone()),
            Self::Servers(cluster) => Arc::new(cluster.log.clone()),
        }
    }

    pub fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        match self {
            Self::Files { rooms, .. } => Arc::new(rooms.clone()),
            Self::Servers(cluster) => Arc::new(cluster.log.clone()),
        }
    }

    pub fn presence(&self) -> Arc<dyn Presence> {
        match self {
            Self::Files { beside, .. } => beside.presence.clone(),
            Self::Servers(cluster) => Arc::new(cluster.rooms.clone()),
        }
    }

    pub fn leases(&self) -> Arc<dyn Leases> {
        match self {
            Self::Files { beside, .. } => beside.leases.clone(),
            Self::Servers(cluster) => Arc::new(cluster.rooms.clone()),
        }
    }

    pub fn shop(&self) -> Arc<dyn ReservationStore> {
        match self {
            Self::Files { shop, .. } => shop.clone(),
            Self::Servers(cluster) => Arc::new(cluster.shop.clone()),
        }
    }

    pub fn readiness(&self) -> Readiness {
        Readiness(self.clone())
    }

    /// Carries rooms' events to the log until stopped; with files they are there as soon as they happen.
    pub async fn relay(&self, stop: CancellationToken) {
        match self {
            Self::Files { .. } => stop.cancelled().await,
            Self::Servers(cluster) => cluster.relay(stop).await,
        }
    }

    pub async fn close(self) {
        match self {
            Self::Files { rooms, shop, .. } => {
                let closing = tokio::task::spawn_blocking(move || {
                    shop.close();
                    rooms.close();
                });
                if closing.await.is_err() {
                    tracing::error!("closing the files ended in a panic; the next start replays the log");
                }
            }
            Self::Servers(cluster) => cluster.close().await,
        }
    }
}
