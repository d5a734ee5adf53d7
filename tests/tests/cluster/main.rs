//! The whole cluster at work: ten processes, two of each service, behind nginx, on real Redis, Kafka and
//! PostgreSQL. A crowd goes through, with and without faults.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod sale;
mod story;
