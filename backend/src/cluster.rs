//! Backends of many processes: Redis orders each room's events, Kafka carries them, PostgreSQL keeps the
//! registry and the shop.

pub mod kafka;
pub mod postgres;
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use kernel::ports::{Clock, StoreError};
use tokio_util::sync::CancellationToken;

use kafka::KafkaLog;
use postgres::{Database, PgRegistry, PgReservations};
use redis::RedisRooms;

/// How long taking leave may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// `redis://HOST:PORT`
    pub redis: String,
    /// `HOST:PORT`, several separated by commas.
    pub kafka: String,
    /// `postgres://NAME:PASSWORD@HOST:PORT/DATABASE`
    pub database: String,
    /// Keeps Turnlines on the same servers apart: prefixes keys, topics and groups, and names the schema.
    pub namespace: String,
    /// This process among the nodes.
    pub node: String,
}

/// One process's connections to the three servers. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Cluster {
    /// Rooms, presence and leases.
    pub rooms: RedisRooms,
    /// The event log and its dead letters.
    pub log: KafkaLog,
    pub registry: PgRegistry,
    pub shop: PgReservations,
    database: Database,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Redis(#[from] redis::ConnectError),
    #[error(transparent)]
    Kafka(#[from] kafka::ConnectError),
    #[error(transparent)]
    Database(#[from] postgres::ConnectError),
}

impl Cluster {
    /// Connects to all three at once; makes the tables and topics that are missing.
    ///
    /// # Errors
    /// An address is none, or a server does not answer.
    pub async fn connect(config: ClusterConfig, clock: Arc<dyn Clock>) -> Result<Self, ConnectError> {
        let ClusterConfig { redis, kafka, database, namespace, node } = config;
        let settings = kafka::Config::new(&kafka, &namespace, &node);
        let database = async { Ok::<_, ConnectError>(Database::connect(&database, &namespace).await?) };
        let log = async { Ok::<_, ConnectError>(KafkaLog::connect(settings, clock.clone()).await?) };
        let (database, log) = tokio::try_join!(database, log)?;
        let registry = PgRegistry::new(database.clone());
        let ceilings = Arc::new(database.clone());
        let rooms = RedisRooms::connect(&redis, &namespace, Arc::new(log.clone()), ceilings, clock).await?;
        Ok(Self { rooms, log, registry, shop: PgReservations::new(database.clone()), database })
    }

    /// Whether all three answer now.
    ///
    /// # Errors
    /// One does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        let log = async {
            let answer = self.log.answers().await;
            answer.map_err(|error| StoreError::Unavailable(error.to_string()))
        };
        tokio::try_join!(self.rooms.answers(), log, self.database.ready()).map(drop)
    }

    /// Carries rooms' events from Redis to Kafka until stopped; processes share the work.
    pub async fn relay(&self, stop: CancellationToken) {
        self.rooms.relay(Arc::new(self.registry.clone()), stop).await;
    }

    /// Takes leave of the servers; one that does not answer is left without.
    pub async fn close(&self) {
        if tokio::time::timeout(FAREWELL, self.shop.close()).await.is_err() {
            tracing::warn!("PostgreSQL did not take leave in time; it notices by itself");
        }
    }
}
