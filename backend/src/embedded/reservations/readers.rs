//! Reads over their own connections, beside the writer: each sees the last commit as one moment.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::Fault;

/// Reads at once; more would only take turns on the processors.
const READERS: usize = 4;

#[derive(Clone)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), idle: Arc::default(), turns: Arc::new(Semaphore::new(READERS)) }
    }

    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unavailable = |_| StoreError::Unavailable("the shop's file is closed".to_owned());
        let turn = self.turns.clone().acquire_owned().await.map_err(unavailable)?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let connection = readers.connection()?;
            let done = {
                // One transaction, so that several statements see one moment.
                let moment = connection.unchecked_transaction()?;
                let done = work(&moment);
                moment.finish()?;
                done
            };
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            done
        });
        let done = reading.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        done.map_err(StoreError::from)
    }

    /// Ends the reads for good.
    pub fn close(&self) {
        self.turns.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn connection(&self) -> rusqlite::Result<Connection> {
        if let Some(idle) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(idle);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.path.as_path(), flags)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }
}
