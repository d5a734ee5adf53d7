//! What a tick costs Redis while more and more wait: one process on servers, a line that moves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::clock::SystemClock;
use kernel::ports::{Clock, RoomStore};
use kernel::words::RoomId;
use serde_json::{Map, Value, json};
use turnline_tests::Server;

use crate::rooms::{self, Known};
use crate::servers::{Redis, Servers};

const WAITING: [u64; 3] = [1_000, 100_000, 1_000_000];
/// At least twenty ticks of a second.
const WATCH: Duration = Duration::from_secs(21);
const BATCH: u64 = 1_000;

pub async fn measure() -> anyhow::Result<Value> {
    let servers = Servers::start()?;
    let flags = servers.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Server::start(&flags).await;
    let policy = json!({
        "capacity": 100_000, "admit_per_minute": 60, "claim_seconds": 3_600, "grace_seconds": 3_600,
    });
    server.room("tick", &policy).await;
    // Fills the line as another process would, and is gone before anything is counted.
    let (redis, room) = (servers.redis(), RoomId::parse("tick")?);
    let (mut cases, mut joined) = (Vec::new(), 0);
    for waiting in WAITING {
        let filler = servers.process("bench").await?;
        let store: Arc<dyn RoomStore> = Arc::new(filler.rooms.clone());
        rooms::fill(&store, &room, Known::Nothing, waiting - joined, (BATCH, 1), SystemClock.now()).await?;
        filler.close().await;
        drop((store, filler));
        joined = waiting;
        redis.until_settled(&room).await?;
        let case = watch(&redis, &room).await?;
        let waits = server.waiting("tick").await;
        eprintln!("{waits} wait: {} commands a tick", case["commands"]);
        cases.push(json!({ "waiting": waits, "a_tick": case }));
    }
    Ok(json!({
        "how": format!("one process `turnline up` on Redis, Kafka and PostgreSQL, one room, 60 admitted a minute, nobody connected; INFO before and after {} s, without these questions; what scripts call counts as commands too", WATCH.as_secs()),
        "cases": cases,
    }))
}

/// What reached Redis while some time went by, a second; the room must move.
pub async fn watch(redis: &Redis, room: &RoomId) -> anyhow::Result<Value> {
    let (seq, before, began) = (redis.head(room).await?.seq, redis.counted().await?, Instant::now());
    // sleep: that is what is measured
    tokio::time::sleep(WATCH).await;
    let (after, ticks) = (redis.counted().await?, began.elapsed().as_secs_f64());
    let events = redis.head(room).await?.seq - seq;
    anyhow::ensure!(events > 0, "nothing happened in the room");
    let a_tick = |count: u64| (count as f64 / ticks * 10.0).round() / 10.0;
    let mut by_command = Map::new();
    let (mut commands, mut micros) = (0, 0);
    for (name, (calls, usec)) in &after.commands {
        let (calls_before, usec_before) = before.commands.get(name).copied().unwrap_or_default();
        let (calls, usec) = (calls - calls_before, usec - usec_before);
        // The only one that Turnline never sends.
        if calls > 0 && name != "info" {
            commands += calls;
            by_command.insert(name.clone(), json!(a_tick(calls)));
        }
        if name == "evalsha" || name == "eval" {
            micros += usec;
        }
    }
    Ok(json!({
        "commands": a_tick(commands), "script_microseconds": a_tick(micros),
        "bytes_in": a_tick(between(before.bytes_in, after.bytes_in, after.asked_bytes)),
        "bytes_out": a_tick(between(before.bytes_out, after.bytes_out, before.answer_bytes)),
        "events": a_tick(events), "by_command": by_command,
    }))
}

/// What was counted but for what asking for it took: the second question, and the answer to the first.
fn between(before: u64, after: u64, own: u64) -> u64 {
    (after - before).saturating_sub(own)
}
