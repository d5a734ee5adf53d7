//! The embedded backend: rooms and the event log in one SQLite file, written by one thread.

mod dead_letters;
mod journal;
mod leases;
mod log;
mod presence;
mod registry;
mod reservations;
mod rooms;
mod world;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use leases::InProcessLeases;
pub use presence::InProcessPresence;
pub use reservations::SqliteReservations;

use log::Tail;
use writer::Writer;

/// Rooms, registry and event log of one process, durable in a directory. Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    writer: Writer,
    tail: Arc<Tail>,
    options: Options,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Delivers every n-th batch of events twice, as Kafka may: for tests.
    pub redeliver_every: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data directory {0} is used by another Turnline process; stop it or choose another --data-dir"
    )]
    InUse(String),
    #[error("the data directory cannot be used: {0}")]
    Io(#[from] std::io::Error),
    #[error("the database in the data directory cannot be used: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("the database in the data directory holds what cannot be read: {0}")]
    Unreadable(String),
}

impl Embedded {
    /// Opens the directory, making it when it is new, and loads every room. Blocks while it reads.
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        std::fs::create_dir_all(directory)?;
        let (writer, tail) = Writer::start(directory)?;
        Ok(Self { writer, tail, options })
    }

    /// Writes snapshots and closes the files; what comes after is refused. Blocks until all is on disk.
    pub fn close(&self) {
        self.writer.close();
    }
}
