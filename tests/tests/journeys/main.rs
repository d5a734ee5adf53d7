//! Journeys through the whole system, as visitors, buyers and operators make them, against the real
//! binary. Each test has a server of its own and waits for what happens, never for time to pass.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod dead_letters;
mod described;
mod inside;
mod joining;
mod known;
mod money;
mod operator;
mod pass;
mod prequeue;
mod presence;
mod restart;
