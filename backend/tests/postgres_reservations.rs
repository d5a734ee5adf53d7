//! The shop in PostgreSQL passes the contract of every reservation store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;

use std::sync::Arc;

use backend::cluster::postgres::PgReservations;
use kernel::ports::ReservationStore;
use postgres_scene::Schema;

async fn fresh() -> (Arc<dyn ReservationStore>, Schema) {
    let schema = Schema::fresh();
    let store = PgReservations::new(schema.connect().await);
    (Arc::new(store), schema)
}

kernel::reservation_store_contract!(fresh);
