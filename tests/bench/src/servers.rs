//! Redis, Kafka and PostgreSQL of a measurement's own, empty, gone when it ends; and Redis' own tools as the
//! hand that measures beside Turnline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use backend::clock::SystemClock;
use backend::cluster::{Cluster, ClusterConfig};
use kernel::words::RoomId;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::block_in_place;
use turnline_tests::servers::Addresses;
use xtask::services::Services;

/// How long the relay may take with what a measurement left to it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Servers {
    services: Services,
    // Last: the data of the servers is there.
    _dir: TempDir,
}

impl Servers {
    pub fn start() -> anyhow::Result<Self> {
        let dir = TempDir::with_prefix("turnline-bench-")?;
        let services = block_in_place(|| Services::start(&dir.path().join("servers")))?;
        Ok(Self { services, _dir: dir })
    }

    /// A process more on these servers, as the store sees one.
    pub async fn process(&self, node: &str) -> anyhow::Result<Cluster> {
        let config = ClusterConfig {
            redis: self.services.redis.url(),
            kafka: self.services.kafka.url(),
            database: self.services.postgres.url(),
            namespace: String::new(),
            node: node.to_owned(),
        };
        Ok(Cluster::connect(config, Arc::new(SystemClock)).await?)
    }

    /// What `turnline up` has to be told.
    pub fn flags(&self) -> Vec<String> {
        let Services { redis, kafka, postgres } = &self.services;
        ["--redis".to_owned(), redis.url(), "--kafka".to_owned(), kafka.url()]
            .into_iter()
            .chain(["--database".to_owned(), postgres.url()])
            .collect()
    }

    /// What the services of a Turnline of several processes have to be told.
    pub fn addresses(&self) -> Addresses {
        Addresses::of(&self.services)
    }

    /// Of Redis and Kafka.
    pub fn ports(&self) -> (u16, u16) {
        (self.services.redis.port(), self.services.kafka.port())
    }

    pub fn database(&self) -> String {
        self.services.postgres.url()
    }

    pub fn redis(&self) -> Redis {
        Redis { port: self.services.redis.port().to_string() }
    }
}

/// What Redis counted since it was started, as of one moment.
pub struct Counted {
    /// By command: how often, and microseconds in all. What scripts call counts as well.
    pub commands: BTreeMap<String, (u64, u64)>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Of the question by which this was asked.
    pub asked_bytes: u64,
    pub answer_bytes: u64,
}

/// How far a room's events have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub relayed: u64,
    pub checkpoint: u64,
}

pub struct Redis {
    port: String,
}

impl Redis {
    /// Asks by redis-cli.
    pub async fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        self.tool("redis-cli", words).await
    }

    /// INCRs a second by redis-benchmark, so many clients with `pipeline` commands each under way.
    pub async fn increments(&self, clients: u32, pipeline: u32, count: u32) -> anyhow::Result<f64> {
        let [clients, pipeline, count] = [clients, pipeline, count].map(|number| number.to_string());
        let words = ["-t", "incr", "--csv", "-c", &clients, "-P", &pipeline, "-n", &count];
        let said = self.tool("redis-benchmark", &words).await?;
        let row = said.lines().find_map(|line| line.strip_prefix("\"INCR\",\""));
        let rate = row.and_then(|row| row.split('"').next()).and_then(|rate| rate.parse().ok());
        rate.with_context(|| format!("redis-benchmark said no figures:\n{said}"))
    }

    pub async fn counted(&self) -> anyhow::Result<Counted> {
        let words = ["INFO", "stats", "commandstats"];
        let answer = self.ask_raw(&words).await?;
        let figure = |name: &str| -> anyhow::Result<u64> {
            let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.with_context(|| format!("INFO has no {name}"))?.trim().parse()?)
        };
        let mut commands = BTreeMap::new();
        for line in answer.lines().filter_map(|line| line.strip_prefix("cmdstat_")) {
            let (name, fields) = line.split_once(':').context("a line of commandstats")?;
            let field = |wanted: &str| {
                let found = fields.split(',').find_map(|field| field.strip_prefix(wanted));
                found.and_then(|value| value.parse().ok()).unwrap_or(0)
            };
            commands.insert(name.to_owned(), (field("calls="), field("usec=")));
        }
        // The question as redis-cli sends it, `*3\r\n$4\r\nINFO\r\n…`, and the answer as it comes.
        let asked: usize = words.iter().map(|word| word.len() + 2 + header(word.len())).sum();
        Ok(Counted {
            bytes_in: figure("total_net_input_bytes")?,
            bytes_out: figure("total_net_output_bytes")?,
            asked_bytes: (asked + header(words.len())) as u64,
            answer_bytes: (answer.len() + 2 + header(answer.len())) as u64,
            commands,
        })
    }

    /// Bytes by key of a room, with all of each key counted.
    pub async fn memory_of(&self, room: &RoomId) -> anyhow::Result<BTreeMap<String, u64>> {
        let stem = format!("tl:{{{room}}}:");
        let mut memory = BTreeMap::new();
        for key in self.ask(&["--scan", "--pattern", &format!("{stem}*")]).await?.lines() {
            let bytes = self.ask(&["MEMORY", "USAGE", key, "SAMPLES", "0"]).await?;
            // A key that ran out meanwhile costs nothing.
            let bytes = bytes.trim().parse().unwrap_or(0);
            memory.insert(key.strip_prefix(&stem).unwrap_or(key).to_owned(), bytes);
        }
        Ok(memory)
    }

    /// All memory that Redis took from the system's allocator.
    pub async fn used_memory(&self) -> anyhow::Result<u64> {
        let said = self.ask(&["INFO", "memory"]).await?;
        let used = said.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(used.context("INFO has no used_memory")?.trim().parse()?)
    }

    pub async fn head(&self, room: &RoomId) -> anyhow::Result<Head> {
        let key = format!("tl:{{{room}}}:v1:head");
        let said = self.ask(&["HMGET", &key, "seq", "relayed", "checkpoint"]).await?;
        let figures: Vec<u64> = said.lines().filter_map(|line| line.parse().ok()).collect();
        match figures[..] {
            [seq, relayed, checkpoint] => Ok(Head { seq, relayed, checkpoint }),
            _ => bail!("{key} has {said:?}"),
        }
    }

    /// Waits until the log has all of the room; answers where it stands then.
    pub async fn until_relayed(&self, room: &RoomId) -> anyhow::Result<Head> {
        let began = Instant::now();
        loop {
            let head = self.head(room).await?;
            if head.relayed == head.seq {
                return Ok(head);
            }
            if began.elapsed() > PATIENCE {
                bail!("not relayed within {PATIENCE:?}: {head:?}");
            }
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until nothing of the room moves any more: relayed, and written down if that was due.
    pub async fn until_settled(&self, room: &RoomId) -> anyhow::Result<Head> {
        let began = Instant::now();
        let mut before = self.until_relayed(room).await?;
        loop {
            // sleep: what is due is noticed within a second; nothing tells that nothing was due
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.until_relayed(room).await?;
            if now.checkpoint == before.checkpoint {
                return Ok(now);
            }
            if began.elapsed() > PATIENCE {
                bail!("not settled within {PATIENCE:?}: {now:?}");
            }
            before = now;
        }
    }

    async fn tool(&self, program: &str, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port]).args(words).kill_on_drop(true);
        let output = command.output().await;
        let output = output.with_context(|| format!("{program} is missing: apt-get install redis-tools"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || said.starts_with("ERR ") {
            bail!("{program} {words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(said)
    }

    /// The answer as it came, without the newline that redis-cli puts behind it.
    async fn ask_raw(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut said = self.ask(words).await?;
        if said.ends_with("\n\n") || said.ends_with("\r\n\n") {
            said.pop();
        }
        Ok(said)
    }
}

/// Bytes of `$123\r\n`, or of `*3\r\n`.
fn header(length: usize) -> usize {
    length.to_string().len() + 3
}
