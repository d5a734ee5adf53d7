//! What a waiting visitor costs Redis in memory at a million: all keys of the room, once its events are in the
//! log and it was written down as often as it does by itself.

use std::sync::Arc;

use backend::clock::SystemClock;
use kernel::ports::{Clock, RoomStore};
use kernel::words::{EndReason, Ranges, RoomId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rooms::{self, Known};
use crate::servers::{Redis, Servers};

const VISITORS: u64 = 1_000_000;
const BATCH: u64 = 100;
const CALLERS: usize = 8;
/// Who leaves, in the case in which somebody does: one in so many, all over the line.
const ONE_IN: u64 = 3;

pub async fn measure() -> anyhow::Result<Value> {
    let servers = Servers::start()?;
    let cluster = servers.process("bench").await?;
    let stop = CancellationToken::new();
    let relay = tokio::spawn({
        let (cluster, stop) = (cluster.clone(), stop.clone());
        async move { cluster.relay(stop).await }
    });
    let (redis, store): (_, Arc<dyn RoomStore>) = (servers.redis(), Arc::new(cluster.rooms.clone()));
    let mut cases = Vec::new();
    for (name, known, leave) in [
        ("anonymous", Known::Nothing, false),
        ("anonymous, a third has left", Known::Nothing, true),
        ("visitor token", Known::Visitor, false),
        ("Idempotency-Key", Known::Key, false),
    ] {
        let used = redis.used_memory().await?;
        let now = SystemClock.now();
        let room = rooms::make(&cluster.registry, store.as_ref(), &format!("m{}", cases.len()), now).await?;
        rooms::fill(&store, &room, known, VISITORS, (BATCH, CALLERS), now).await?;
        if leave {
            leave_scattered(store.as_ref(), &room).await?;
        }
        let case = look(&redis, &room, store.summary(&room).await?.waiting, used).await?;
        eprintln!("{name}: {} bytes a visitor", case["bytes_a_visitor"]);
        cases.push(json!({ "who": name, "memory": case }));
    }
    stop.cancel();
    relay.await?;
    cluster.close().await;
    Ok(json!({
        "how": format!("{VISITORS} join in batches of {BATCH}; the sum of MEMORY USAGE key SAMPLES 0 of the room's keys when all was relayed and nothing was due to be written down"),
        "cases": cases,
    }))
}

async fn look(redis: &Redis, room: &RoomId, waiting: u64, used_before: u64) -> anyhow::Result<Value> {
    let head = redis.until_settled(room).await?;
    let keys = redis.memory_of(room).await?;
    let sum: u64 = keys.values().sum();
    let used = redis.used_memory().await?.saturating_sub(used_before);
    let a_visitor = |bytes: u64| (bytes as f64 / waiting as f64 * 1e3).round() / 1e3;
    Ok(json!({
        "waiting": waiting, "bytes": sum, "bytes_a_visitor": a_visitor(sum), "by_key": keys,
        "used_memory_grew_a_visitor": a_visitor(used),
        "events": head.seq, "events_behind_checkpoint": head.seq - head.checkpoint,
    }))
}

/// One in [`ONE_IN`] leaves, no two of them neighbours.
async fn leave_scattered(store: &dyn RoomStore, room: &RoomId) -> anyhow::Result<()> {
    let leaving: Vec<u64> = (1..=VISITORS).step_by(usize::try_from(ONE_IN)?).collect();
    for some in leaving.chunks(1_000) {
        let numbers: Ranges = some.iter().copied().collect();
        store.depart(room, numbers, EndReason::Left, SystemClock.now()).await?;
    }
    Ok(())
}
