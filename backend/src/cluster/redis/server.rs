//! One Redis, or a cluster of them: who is connected to speaks to either in the same way.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisFuture, RedisResult, Value};

/// How long an answer may take before the connection counts as broken, where it is small.
pub(super) const SOON: Duration = Duration::from_secs(2);
/// The same where it may be a whole room, of tens of megabytes, and many may ask at once: who gives up and asks
/// again makes it take longer still.
pub(super) const IN_THE_END: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(1);
/// Says that the address is one of a cluster's.
const OF_A_CLUSTER: &str = "redis+cluster://";

#[derive(Clone)]
pub(super) enum Server {
    One(Client, Duration),
    /// With the node that was named.
    Cluster(Box<ClusterClient>, Client),
}

#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Server {
    /// `redis://HOST:PORT`, or `redis+cluster://HOST:PORT` of any node of a cluster; an answer may take as long as
    /// `response`.
    pub fn at(url: &str, response: Duration) -> RedisResult<Self> {
        let Some(node) = url.strip_prefix(OF_A_CLUSTER) else {
            return Ok(Self::One(Client::open(url)?, response));
        };
        let node = format!("redis://{node}");
        let cluster = ClusterClient::builder([node.as_str()])
            .connection_timeout(CONNECT)
            .response_timeout(response)
            .build()?;
        Ok(Self::Cluster(Box::new(cluster), Client::open(node)?))
    }

    pub async fn connect(&self) -> RedisResult<Connection> {
        match self {
            Self::One(client, response) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(*response));
                let made = client.get_multiplexed_async_connection_with_config(&config).await;
                made.map(Connection::One)
            }
            Self::Cluster(client, _) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }

    /// What is told on a channel reaches every node of a cluster.
    pub async fn channels(&self) -> RedisResult<PubSub> {
        match self {
            Self::One(client, _) | Self::Cluster(_, client) => client.get_async_pubsub().await,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
