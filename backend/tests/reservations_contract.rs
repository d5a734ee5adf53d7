//! The embedded shop passes the contract of every reservation store.

use std::sync::Arc;

use backend::embedded::SqliteReservations;
use kernel::ports::ReservationStore;
use tempfile::TempDir;

async fn embedded() -> (Arc<dyn ReservationStore>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let store = SqliteReservations::open(directory.path()).expect("a new directory opens");
    (Arc::new(store), directory)
}

kernel::reservation_store_contract!(embedded);
