//! What a durable append costs: a plain file with `fdatasync` (the floor) and SQLite in WAL mode, by how
//! many rows share one commit. The ground of ADR 0004.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

/// A typical event.
const ROW: &str = r#"{"room":"demo","seq":123456,"at":"2030-01-01T00:00:00.123Z","type":"WaitingTokensIssued","first":100001,"last":100100}"#;
const RUN: Duration = Duration::from_secs(2);

pub fn measure() -> anyhow::Result<Value> {
    let directory = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for batch in [1, 50, 1_000] {
        let floor = plain_file(directory.path(), batch)?;
        let full = sqlite(directory.path(), batch, "FULL")?;
        let normal = sqlite(directory.path(), batch, "NORMAL")?;
        eprintln!("{batch} a commit: file {floor:.0}/s, SQLite FULL {full:.0}/s, NORMAL {normal:.0}/s");
        rows.push(json!({
            "rows_a_commit": batch, "file_fdatasync_rows_per_second": floor.round(),
            "sqlite_wal_full_rows_per_second": full.round(), "sqlite_wal_normal_rows_per_second": normal.round(),
            "ratio_full_to_file": (full / floor * 1000.0).round() / 1000.0,
        }));
    }
    Ok(Value::Array(rows))
}

fn plain_file(directory: &Path, batch: u32) -> anyhow::Result<f64> {
    let mut file = File::create(directory.join("log"))?;
    rate(batch, || {
        let text = format!("{ROW}\n").repeat(batch as usize);
        file.write_all(text.as_bytes())?;
        Ok(file.sync_data()?)
    })
}

fn sqlite(directory: &Path, batch: u32, synchronous: &str) -> anyhow::Result<f64> {
    let mut db = Connection::open(directory.join(format!("{batch}-{synchronous}.sqlite")))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", synchronous)?;
    db.execute_batch("CREATE TABLE log (offset INTEGER PRIMARY KEY, topic TEXT, room TEXT, seq INTEGER, value TEXT) STRICT")?;
    let mut offset = 0u64;
    rate(batch, || {
        let commit = db.transaction()?;
        for _ in 0..batch {
            offset += 1;
            commit
                .prepare_cached("INSERT INTO log VALUES (?1, 'turnline.waiting-tokens', 'demo', ?1, ?2)")?
                .execute(params![offset, ROW])?;
        }
        Ok(commit.commit()?)
    })
}

/// Rows a second of repeated commits.
fn rate(batch: u32, mut commit: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (began, mut commits) = (Instant::now(), 0u32);
    while began.elapsed() < RUN {
        commit()?;
        commits += 1;
    }
    Ok(f64::from(commits) * f64::from(batch) / began.elapsed().as_secs_f64())
}
