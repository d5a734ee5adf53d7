//! The registry and the shop in PostgreSQL. Every process has a pool of its own over one schema; they meet
//! in row locks and unique indexes only.

mod ceilings;
mod database;
mod fault;
mod registry;
mod reservations;

pub use ceilings::Ceilings;
pub use database::{ConnectError, Database, Options};
pub use registry::PgRegistry;
pub use reservations::PgReservations;
