//! The pure core of Turnline: words, the line, decisions, events, ports.
//! No I/O, no clock, no randomness, no tokio: time, ids and secrets are arguments.

pub mod admission;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod control;
pub mod crash;
pub mod event;
pub mod line;
pub mod lottery;
pub mod outflow;
pub mod pass;
pub mod policy;
pub mod ports;
pub mod presence;
pub mod rank_set;
pub mod reservation;
pub mod room;
pub mod session;
pub mod ticket;
pub mod visitor_token;
pub mod words;
