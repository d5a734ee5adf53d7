//! The event log on a real Kafka, named by `TURNLINE_KAFKA`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod envelope;
mod groups;
mod letters;
mod scene;
mod start;

use std::sync::Arc;

use backend::cluster::kafka::KafkaLog;
use scene::Scene;

async fn fresh() -> (Arc<KafkaLog>, Scene) {
    let scene = Scene::fresh();
    (Arc::new(scene.connect().await), scene)
}

kernel::event_log_contract!(fresh);
