//! The embedded log passes the contract of every event log, and delivers batches twice meanwhile.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use backend::embedded::{Embedded, Options};
use tempfile::TempDir;

async fn embedded() -> (Arc<Embedded>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let options = Options { redeliver_every: Some(3) };
    let log = Embedded::open(directory.path(), options).expect("a new directory opens");
    (Arc::new(log), directory)
}

kernel::event_log_contract!(embedded);
