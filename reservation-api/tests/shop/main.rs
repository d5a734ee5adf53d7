//! The Reservation API over HTTP, on the real embedded backend.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod buying;
mod cancelling;
mod catalogue;
mod events;
mod notifications;
mod passes;
mod races;
mod restarts;
mod scene;
