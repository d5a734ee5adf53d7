//! How long a room with a million waiting takes to come back: from events alone, at worst one a visitor,
//! and from a snapshot.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use backend::embedded::{Embedded, Options};
use kernel::ports::RoomStore;
use kernel::words::{RoomId, Timestamp};
use serde_json::{Value, json};

use crate::rooms::{self, Known};

const VISITORS: u64 = 1_000_000;
const ROOM: &str = "demo";
const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

pub async fn measure() -> anyhow::Result<Value> {
    let mut cases = Vec::new();
    for (batch, close) in [(1, false), (100, false), (1, true)] {
        let directory = tempfile::tempdir()?;
        let filled = fill(directory.path(), batch, close).await?;
        let began = Instant::now();
        let store = Embedded::open(directory.path(), Options::default())?;
        let seconds = began.elapsed().as_secs_f64();
        let waiting = store.summary(&RoomId::parse(ROOM)?).await?.waiting;
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
    let room = rooms::make(&store, &store, ROOM, NOW).await?;
    let joining: Arc<dyn RoomStore> = Arc::new(store.clone());
    rooms::fill(&joining, &room, Known::Nothing, VISITORS, (batch, 2_000), NOW).await?;
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
