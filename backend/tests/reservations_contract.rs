//! The embedded shop passes the contract of every reservation store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use backend::embedded::SqliteReservations;
use kernel::contract::T0;
use kernel::contract::shop::{charge_wish, visitor};
use kernel::ports::ReservationStore;
use tempfile::TempDir;

async fn embedded() -> (Arc<dyn ReservationStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteReservations::open(directory.path()).unwrap();
    (Arc::new(store), directory)
}

kernel::reservation_store_contract!(embedded);

#[tokio::test]
async fn a_ledger_is_only_ever_added_to() {
    let (store, directory) = embedded().await;
    store.charge(charge_wish(&visitor(1), "ch", 5_000), T0).await.unwrap();
    let file = rusqlite::Connection::open(directory.path().join("shop.db")).unwrap();
    for change in ["UPDATE ledger SET amount_minor = 1", "DELETE FROM ledger"] {
        let refused = file.execute(change, []).unwrap_err().to_string();
        assert!(refused.contains("only ever added to"), "{change}: {refused}");
    }
}
