//! The harness: starts the real `turnline` binary on a free port and talks to it as a browser,
//! an API caller and an operator would. It knows the outside contract only, no crate of ours.
//! Everything waits under a deadline and fails loudly, with the tail of the server's log.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test harness fails by panicking")]

pub mod binary;
pub mod channel;
pub mod client;
pub mod cluster;
pub mod crowd;
pub mod demo;
pub mod fleet;
mod process;
pub mod room;
pub mod server;
pub mod servers;
pub mod site;

pub use channel::{Channel, Frame};
pub use client::{Answer, Call};
pub use cluster::{Cluster, Role};
pub use crowd::Crowd;
pub use demo::Demo;
pub use room::{Visitor, fresh_key, visitor_token};
pub use server::Server;
pub use site::Site;

use std::time::Duration;

/// How long anything that should happen soon may take, on a slow and busy machine.
pub const SOON: Duration = Duration::from_secs(15);

/// Calls `probe` until it answers `Some`, or fails the test after `deadline`.
/// For states that no message announces.
pub async fn eventually<T>(what: &str, deadline: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < deadline, "still not so after {deadline:?}: {what}");
        // sleep: the interval of a poll under a deadline
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
