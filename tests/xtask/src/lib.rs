//! What `cargo xtask` is made of, as a library, so that tests can start Redis, Kafka, PostgreSQL and nginx too.
//! Kept to the standard library and anyhow, so that it starts within seconds on a fresh machine.

pub mod bench;
pub mod machine;
pub mod run;
pub mod services;
pub mod steps;
