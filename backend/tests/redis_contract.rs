//! The room store on Redis passes the contract of every room store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::sync::Arc;

use kernel::ports::RoomStore;
use redis_scene::Scene;

async fn on_redis() -> (Arc<dyn RoomStore>, Scene) {
    let scene = Scene::fresh().await;
    (Arc::new(scene.process().await), scene)
}

kernel::room_store_contract!(on_redis);
