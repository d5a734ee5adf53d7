//! The shop from outside when things go wrong: crashes, a rush, a log that is away.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod outage;
mod rush;
