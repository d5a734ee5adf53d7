//! The shop's file as it is opened: settings, and the numbered migrations it has not had yet.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: [&str; 3] = [
    include_str!("../../../migrations/sqlite/reservations/0001_shop.sql"),
    include_str!("../../../migrations/sqlite/reservations/0002_inbox.sql"),
    include_str!("../../../migrations/sqlite/reservations/0003_append_only.sql"),
];

/// How long another process may hold the file while it migrates.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn open(path: &Path) -> Result<Connection, MigrationError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: what was answered survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    // The write lock is taken before the version is read: two processes never run one migration twice.
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: usize = step.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if done > MIGRATIONS.len() {
        return Err(MigrationError::Newer);
    }
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", at + 1)?;
    }
    step.commit()?;
    Ok(connection)
}

#[derive(Debug, thiserror::Error)]
pub(super) enum MigrationError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error("the shop's file was written by a newer Turnline")]
    Newer,
}
