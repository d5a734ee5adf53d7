//! The embedded store passes the contract of every room store.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use backend::embedded::{Embedded, Options};
use kernel::ports::RoomStore;
use tempfile::TempDir;

async fn embedded() -> (Arc<dyn RoomStore>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let store = Embedded::open(directory.path(), Options::default()).expect("a new directory opens");
    (Arc::new(store), directory)
}

kernel::room_store_contract!(embedded);
