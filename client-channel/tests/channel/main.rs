//! The channel over real sockets and the embedded backend: what a visitor hears, and what closes it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod line;
mod manners;
mod scene;
mod visitor;
