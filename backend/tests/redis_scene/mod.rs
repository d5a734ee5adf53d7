//! Rooms on the Redis named by `TURNLINE_REDIS`, in a namespace of their own, with a log and ceilings beside
//! them; gone at the end.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod gated;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use backend::cluster::postgres::Database;
use backend::cluster::redis::RedisRooms;
use backend::embedded::{Embedded, Options};
use kernel::contract::T0;
use kernel::ports::{Clock, EventLog, JoinAnswer, Registry, RoomRecord, RoomStore};
use kernel::room::{Join, Joined};
use kernel::ticket::RoomBirth;
use kernel::words::{LaneName, Number, RoomId, Timestamp};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::postgres_scene::Schema;

/// The contract's stories begin here, and hardly last.
pub struct StoryTime;

impl Clock for StoryTime {
    fn now(&self) -> Timestamp {
        kernel::contract::T0
    }
}

pub struct Scene {
    pub url: String,
    pub schema: Schema,
    pub database: Database,
    /// Events are relayed to here, and rooms made anew from it.
    pub log: Embedded,
    pub clock: Arc<dyn Clock>,
    _directory: TempDir,
}

impl Scene {
    /// On the Redis that tests share.
    pub async fn fresh() -> Self {
        Self::on(&url()).await
    }

    pub async fn on(url: &str) -> Self {
        let schema = Schema::fresh();
        let database = schema.connect().await;
        let directory = tempfile::tempdir().unwrap();
        let log = Embedded::open(directory.path(), Options::default()).unwrap();
        let clock = Arc::new(StoryTime);
        Self { url: url.to_owned(), schema, database, log, clock, _directory: directory }
    }

    pub fn namespace(&self) -> &str {
        &self.schema.name
    }

    /// One process more over the same rooms.
    pub async fn process(&self) -> RedisRooms {
        self.process_by(&self.url).await
    }

    /// A process that reaches Redis by another address.
    pub async fn process_by(&self, url: &str) -> RedisRooms {
        self.made(url, Arc::new(self.log.clone())).await
    }

    /// A process with another log.
    pub async fn process_with(&self, log: Arc<dyn EventLog>) -> RedisRooms {
        self.made(&self.url, log).await
    }

    async fn made(&self, url: &str, log: Arc<dyn EventLog>) -> RedisRooms {
        let ceilings = Arc::new(self.database.clone());
        RedisRooms::connect(url, self.namespace(), log, ceilings, self.clock.clone()).await.unwrap()
    }

    /// Lets `process` relay, for the rooms of the log's own registry and those it hears of.
    pub fn relay(&self, process: &RedisRooms) -> Relaying {
        let (process, registry, stop) =
            (process.clone(), Arc::new(self.log.clone()), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { process.relay(registry, stopped).await });
        Relaying { stop, task }
    }

    /// What FLUSHALL does, to this namespace alone.
    pub async fn emptied(&self) {
        let mut aside = self.aside().await;
        let pattern = format!("{}:*", self.namespace());
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg(pattern).query_async(&mut aside).await.unwrap();
        let _: () = redis::cmd("DEL").arg(keys).query_async(&mut aside).await.unwrap();
    }

    /// Puts a room into the registry that relays look at.
    pub async fn register(&self, room: &RoomId) {
        let record = RoomRecord {
            birth: RoomBirth { room: room.clone(), born: 1 },
            policy: kernel::contract::policy(0),
            visitor_key: None,
            lottery_secret: [0; 32],
        };
        self.log.save(&record).await.unwrap();
    }

    /// A connection beside those of the processes.
    pub async fn aside(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

/// A relay at work.
pub struct Relaying {
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
}

pub fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub fn anybody() -> Join {
    Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None }
}

/// The numbers that `count` strangers get.
pub async fn joined(process: &dyn RoomStore, room: &RoomId, count: usize) -> Vec<Number> {
    numbers(&process.join(room, vec![anybody(); count], T0).await.unwrap())
}

pub fn numbers(answers: &[JoinAnswer]) -> Vec<Number> {
    let number = |answer: &JoinAnswer| match answer.joined {
        Joined::New(number) => number,
        other => panic!("a stranger got {other:?}"),
    };
    answers.iter().map(number).collect()
}

/// What comes within half a minute, or the test fails.
pub async fn within<T>(what: &str, comes: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, comes).await.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

impl Drop for Scene {
    fn drop(&mut self) {
        let (url, pattern) = (self.url.clone(), format!("{}:*", self.schema.name));
        // A server of the test's own may be gone by now, and its keys with it.
        let Ok(client) = redis::Client::open(url) else { return };
        let Ok(mut connection) = client.get_connection_with_timeout(std::time::Duration::from_secs(1)) else {
            return;
        };
        let keys: Vec<Vec<u8>> = match redis::Commands::scan_match(&mut connection, pattern) {
            Ok(keys) => redis::Iter::<Vec<u8>>::flatten(keys).collect(),
            Err(_) => return,
        };
        for some in keys.chunks(500) {
            let _: Result<(), _> = redis::cmd("UNLINK").arg(some).query(&mut connection);
        }
    }
}

pub fn url() -> String {
    std::env::var("TURNLINE_REDIS").unwrap_or_else(|_| {
        panic!("this test needs Redis: run `cargo xtask services start` and export what it prints")
    })
}
