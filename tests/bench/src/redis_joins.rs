//! Joins a second by the store's own verb: on Redis that syncs before it answers, on the embedded store, and
//! the INCRs of redis-benchmark on the same Redis, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backend::clock::SystemClock;
use backend::embedded::{Embedded, Options};
use kernel::ports::{Clock, Registry, RoomStore};
use kernel::words::RoomId;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::figures::{median, middle, ratio, rounded};
use crate::rooms::{self, Known};
use crate::servers::{Redis, Servers};

const ROUNDS: usize = 5;
const RUN: Duration = Duration::from_millis(700);
/// Clients of redis-benchmark, and callers of single joins.
const CLIENTS: u32 = 256;

/// How joins come to the store.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    batch: u64,
    /// Calls under way at a time, of each process.
    callers: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "1000_a_call", batch: 1_000, callers: 1 },
    Shape { name: "100_a_call", batch: 100, callers: 1 },
    Shape { name: "1_a_call_from_256", batch: 1, callers: CLIENTS as usize },
];
const WHO: [(&str, Known); 2] = [("anonymous", Known::Nothing), ("idempotency_key", Known::Key)];

#[derive(Debug, Clone, Serialize)]
struct Run {
    joins_per_second: f64,
    calls: u64,
    p50_ms: f64,
    p99_ms: f64,
    /// Steps in which the store kept them; of the embedded store it is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    commits: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    races_lost: Option<u64>,
    /// How long the log took for the rest when the joins were over.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay_behind_seconds: Option<f64>,
}

/// All that takes part.
struct Scene {
    embedded: Embedded,
    redis: Redis,
    /// Two processes; the first relays.
    stores: [Arc<dyn RoomStore>; 2],
    registry: Arc<dyn Registry>,
    figures: PrometheusHandle,
}

pub async fn measure(figures: &PrometheusHandle) -> anyhow::Result<Value> {
    let servers = Servers::start()?;
    let (one, two) = (servers.process("bench-1").await?, servers.process("bench-2").await?);
    let stop = CancellationToken::new();
    let relay = tokio::spawn({
        let (one, stop) = (one.clone(), stop.clone());
        async move { one.relay(stop).await }
    });
    let directory = tempfile::tempdir()?;
    let scene = Scene {
        embedded: Embedded::open(directory.path(), Options::default())?,
        redis: servers.redis(),
        stores: [Arc::new(one.rooms.clone()), Arc::new(two.rooms.clone())],
        registry: Arc::new(one.registry.clone()),
        figures: figures.clone(),
    };
    let measured = scene.measure().await;
    scene.embedded.close();
    stop.cancel();
    relay.await?;
    one.close().await;
    two.close().await;
    measured
}

impl Scene {
    async fn measure(&self) -> anyhow::Result<Value> {
        let (mut incr, mut pipelined) = (Vec::new(), Vec::new());
        let mut cases: Vec<Case> = WHO
            .into_iter()
            .flat_map(|(who, known)| SHAPES.map(|shape| Case::new(who, known, shape)))
            .collect();
        for round in 0..ROUNDS {
            incr.push(self.redis.increments(CLIENTS, 1, 100_000).await?);
            pipelined.push(self.redis.increments(CLIENTS, 64, 1_500_000).await?);
            eprintln!(
                "round {}: INCR {:.0}/s, 64 a pipeline {:.0}/s",
                round + 1,
                incr[round],
                pipelined[round]
            );
            for (at, case) in cases.iter_mut().enumerate() {
                self.turn(&format!("r{round}-{at}"), case).await?;
            }
        }
        let mut report = Map::new();
        report.insert("how".to_owned(), json!(how()));
        report.insert("incr_per_second".to_owned(), json!({ "median": median(&incr), "rounds": incr }));
        report.insert(
            "incr_pipeline_64_per_second".to_owned(),
            json!({ "median": median(&pipelined), "rounds": pipelined }),
        );
        for case in &cases {
            let name = format!("{} {}", case.shape.name, case.who);
            report.insert(name, case.report(&incr, &pipelined));
        }
        Ok(Value::Object(report))
    }

    /// One round of a case: embedded, Redis, and two processes on Redis.
    async fn turn(&self, name: &str, case: &mut Case) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let room = rooms::make(&self.embedded, &self.embedded, name, now).await?;
        let embedded: [Arc<dyn RoomStore>; 1] = [Arc::new(self.embedded.clone())];
        case.embedded.push(rush(&embedded, &room, case.shape, case.known).await?);
        for (runs, stores, name) in [
            (&mut case.redis, &self.stores[..1], format!("{name}-one")),
            (&mut case.two_processes, &self.stores[..], format!("{name}-two")),
        ] {
            let room = rooms::make(self.registry.as_ref(), self.stores[0].as_ref(), &name, now).await?;
            let before = self.counts();
            let mut run = rush(stores, &room, case.shape, case.known).await?;
            let after = self.counts();
            let ended = Instant::now();
            self.redis.until_relayed(&room).await?;
            run.relay_behind_seconds = Some(rounded(ended.elapsed().as_secs_f64(), 1e3));
            (run.commits, run.races_lost) = (Some(after.0 - before.0), Some(after.1 - before.1));
            runs.push(run);
        }
        let last = |runs: &[Run]| runs.last().map_or(0.0, |run| run.joins_per_second);
        eprintln!(
            "  {} {}: embedded {:.0}/s, Redis {:.0}/s, two processes {:.0}/s",
            case.shape.name,
            case.who,
            last(&case.embedded),
            last(&case.redis),
            last(&case.two_processes)
        );
        Ok(())
    }

    /// Commits and lost races of the stores on Redis so far.
    fn counts(&self) -> (u64, u64) {
        let page = self.figures.render();
        let count = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|figure| figure.trim().parse().ok()).unwrap_or(0)
        };
        (count("turnline_store_commits_total"), count("turnline_store_races_lost_total"))
    }
}

/// Joins for a while, over all of the stores at once.
async fn rush(
    stores: &[Arc<dyn RoomStore>],
    room: &RoomId,
    shape: Shape,
    known: Known,
) -> anyhow::Result<Run> {
    let next = Arc::new(AtomicU64::new(0));
    let callers = if shape.batch == 1 { shape.callers / stores.len() } else { shape.callers };
    let began = Instant::now();
    let mut rush = tokio::task::JoinSet::new();
    for store in stores.iter().flat_map(|store| std::iter::repeat_n(store, callers)) {
        let (store, room, next) = (store.clone(), room.clone(), next.clone());
        rush.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < RUN {
                let wishes = known.wishes(next.fetch_add(shape.batch, Ordering::Relaxed), shape.batch);
                let called = Instant::now();
                rooms::join(store.as_ref(), &room, wishes, SystemClock.now()).await?;
                took.push(called.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = rush.join_next().await {
        took.extend(caller??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let joins = next.load(Ordering::Relaxed);
    for store in stores {
        let waiting = store.summary(room).await?.waiting;
        anyhow::ensure!(waiting == joins, "{waiting} of {joins} wait");
    }
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took.get(place).map_or(0.0, |took| rounded(took.as_secs_f64() * 1e3, 1e3))
    };
    Ok(Run {
        joins_per_second: (joins as f64 / seconds).round(),
        calls: took.len() as u64,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        commits: None,
        races_lost: None,
        relay_behind_seconds: None,
    })
}

struct Case {
    who: &'static str,
    known: Known,
    shape: Shape,
    embedded: Vec<Run>,
    redis: Vec<Run>,
    two_processes: Vec<Run>,
}

impl Case {
    fn new(who: &'static str, known: Known, shape: Shape) -> Self {
        Self { who, known, shape, embedded: Vec::new(), redis: Vec::new(), two_processes: Vec::new() }
    }

    fn report(&self, incr: &[f64], pipelined: &[f64]) -> Value {
        let rates = |runs: &[Run]| runs.iter().map(|run| run.joins_per_second).collect::<Vec<_>>();
        let (embedded, redis, two) = (rates(&self.embedded), rates(&self.redis), rates(&self.two_processes));
        let lost: u64 = self.two_processes.iter().filter_map(|run| run.races_lost).sum();
        let won: u64 = self.two_processes.iter().filter_map(|run| run.commits).sum();
        json!({
            "embedded": middle_of(&self.embedded), "redis": middle_of(&self.redis),
            "two_processes": middle_of(&self.two_processes),
            "ratio_to_embedded": ratio(&redis, &embedded),
            "ratio_to_incr": ratio(&redis, incr),
            "ratio_to_incr_pipeline_64": ratio(&redis, pipelined),
            "two_processes_ratio_to_one": ratio(&two, &redis),
            "two_processes_races_lost_a_commit": rounded(lost as f64 / won.max(1) as f64, 1e3),
            "rounds": { "embedded": self.embedded, "redis": self.redis, "two_processes": self.two_processes },
        })
    }
}

fn how() -> String {
    format!(
        "the store's verb `join`, {} ms a run, {ROUNDS} rounds in turns, medians; Redis with appendonly yes, \
         appendfsync always, relayed to Kafka meanwhile; redis-benchmark -t incr -c {CLIENTS} on the same Redis",
        RUN.as_millis()
    )
}

fn middle_of(runs: &[Run]) -> Option<Run> {
    middle(runs, |run| run.joins_per_second)
}
