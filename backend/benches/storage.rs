//! What a durable append costs, by how many rows share one commit: a plain file with `fdatasync` (the
//! floor) and SQLite in WAL mode. The ground of ADR 0004.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs::File;
use std::io::Write;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rusqlite::{Connection, params};

/// A typical event.
const ROW: &str = r#"{"room":"demo","seq":123456,"at":"2030-01-01T00:00:00.123Z","type":"WaitingTokensIssued","first":100001,"last":100100}"#;

fn append(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("durable append");
    for rows in [1u64, 50, 1_000] {
        group.throughput(Throughput::Elements(rows));
        group.bench_function(BenchmarkId::new("file, fdatasync", rows), |bencher| {
            let mut file = File::create(directory.path().join("log")).unwrap();
            bencher.iter(|| {
                file.write_all(format!("{ROW}\n").repeat(rows as usize).as_bytes()).unwrap();
                file.sync_data().unwrap();
            });
        });
        for synchronous in ["FULL", "NORMAL"] {
            group.bench_function(BenchmarkId::new(format!("SQLite WAL, {synchronous}"), rows), |bencher| {
                let path = directory.path().join(format!("{rows}-{synchronous}.sqlite"));
                let (mut db, mut offset) = (open(&path, synchronous), 0u64);
                db.execute("DELETE FROM log", []).unwrap();
                bencher.iter(|| commit(&mut db, &mut offset, rows));
            });
        }
    }
    group.finish();
}

fn open(path: &std::path::Path, synchronous: &str) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", synchronous).unwrap();
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS log (offset INTEGER PRIMARY KEY, topic TEXT, room TEXT, seq INTEGER, value TEXT) STRICT",
    )
    .unwrap();
    db
}

fn commit(db: &mut Connection, offset: &mut u64, rows: u64) {
    let transaction = db.transaction().unwrap();
    for _ in 0..rows {
        *offset += 1;
        transaction
            .prepare_cached("INSERT INTO log VALUES (?1, 'turnline.waiting-tokens', 'demo', ?1, ?2)")
            .unwrap()
            .execute(params![*offset, ROW])
            .unwrap();
    }
    transaction.commit().unwrap();
}

criterion_group!(benches, append);
criterion_main!(benches);
