//! The embedded shop passes the contract of every reservation store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use backend::embedded::SqliteReservations;
use kernel::ports::ReservationStore;
use tempfile::TempDir;

async fn embedded() -> (Arc<dyn ReservationStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteReservations::open(directory.path()).unwrap();
    (Arc::new(store), directory)
}

kernel::reservation_store_contract!(embedded);
