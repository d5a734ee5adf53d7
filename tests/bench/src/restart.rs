//! How long a room with a million waiting takes to come back: from events alone, at worst one a visitor,
//! and from a snapshot.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use backend::embedded::{Embedded, Options};
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Registry, RoomRecord, RoomStore};
use kernel::room::Join;
use kernel::ticket::RoomBirth;
use kernel::words::{LaneName, RoomId, Timestamp};
use serde_json::{Value, json};

const VISITORS: u64 = 1_000_000;
const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

pub async fn measure() -> anyhow::Result<Value> {
    let mut cases = Vec::new();
    for (batch, close) in [(1, false), (100, false), (1, true)] {
        let directory = tempfile::tempdir()?;
        let filled = fill(directory.path(), batch, close).await?;
        let began = Instant::now();
        let store = Embedded::open(directory.path(), Options::default())?;
        let seconds = began.elapsed().as_secs_f64();
        let waiting = store.summary(&room()?).await?.waiting;
        anyhow::ensure!(waiting == VISITORS, "{waiting} of {VISITORS} came back");
        store.close();
        eprintln!("{batch} a batch, {}: {seconds:.2} s", if close { "drained" } else { "killed" });
        cases.push(json!({
            "waiting": VISITORS, "joins_an_event": batch,
            "stopped_by": if close { "drain (snapshot)" } else { "kill (copy of the files)" },
            "file_mb": filled, "restart_seconds": (seconds * 100.0).round() / 100.0,
        }));
    }
    Ok(Value::Array(cases))
}

/// Fills a directory as a kill, or a drain, leaves it; answers its size in MB.
async fn fill(directory: &Path, batch: u64, close: bool) -> anyhow::Result<u64> {
    let scratch = tempfile::tempdir()?;
    let store = Embedded::open(scratch.path(), Options::default())?;
    let (room, policy) = (room()?, policy());
    let birth = RoomBirth { room: room.clone(), born: 1 };
    let record = RoomRecord { birth, policy: policy.clone(), visitor_key: None, lottery_secret: [1; 32] };
    store.save(&record).await?;
    store.configure(&room, &policy, None, NOW).await?;
    let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
    let mut waves = tokio::task::JoinSet::new();
    for _ in 0..VISITORS / batch {
        let (store, room, joins) = (store.clone(), room.clone(), vec![one.clone(); usize::try_from(batch)?]);
        waves.spawn(async move { store.join(&room, joins, NOW).await.map(|_| ()) });
        if waves.len() >= 2_000 {
            waves.join_next().await.context("a wave")???;
        }
    }
    while let Some(wave) = waves.join_next().await {
        wave??;
    }
    if close {
        store.close();
    }
    for file in std::fs::read_dir(scratch.path())? {
        let file = file?;
        std::fs::copy(file.path(), directory.join(file.file_name()))?;
    }
    let sizes = std::fs::read_dir(directory)?.filter_map(|file| file.ok()?.metadata().ok());
    Ok(sizes.map(|file| file.len()).sum::<u64>() / 1_000_000)
}

fn room() -> anyhow::Result<RoomId> {
    Ok(RoomId::parse("demo")?)
}

fn policy() -> Policy {
    Policy {
        capacity: 5,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: None,
    }
}
