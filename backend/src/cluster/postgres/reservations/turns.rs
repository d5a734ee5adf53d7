//! Work that one replica does at a time, in turns: a turn is an advisory lock of a session of its own, so it
//! passes on at the moment in which its holder's process or connection dies.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use kernel::ports::StoreError;
use sqlx::PgConnection;
use tokio::sync::Mutex;

use crate::cluster::postgres::database::{Database, Work};
use crate::cluster::postgres::fault::Fault;

#[derive(Clone)]
pub struct Turns {
    database: Database,
    session: Arc<Mutex<Option<PgConnection>>>,
    /// What the session holds; empty without one.
    held: Arc<RwLock<HashSet<String>>>,
}

impl Turns {
    pub fn new(database: Database) -> Self {
        Self { database, session: Arc::default(), held: Arc::default() }
    }

    /// Whether it was our turn at `what` when we last looked.
    pub fn ours(&self, what: &str) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).contains(what)
    }

    /// Reads what there is to do, on the very session that holds the turn: what is read is ours to do.
    /// Nothing while it is another replica's turn.
    pub async fn look<'w, T>(
        &self,
        what: &str,
        look: impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, T> + Sync,
    ) -> Result<Option<T>, StoreError> {
        let mut session = self.session.lock().await;
        let looked = async {
            let db = match session.as_mut() {
                Some(db) => db,
                None => session.insert(self.database.session().await?),
            };
            if !self.ours(what) {
                if !self.take(db, what).await? {
                    return Ok(None);
                }
                tracing::debug!(what, "this replica takes its turn");
            }
            look(db).done().await.map(Some)
        };
        let looked = tokio::time::timeout(self.database.patience(), looked);
        let looked = looked.await.unwrap_or(Err(Fault::TimedOut));
        if looked.is_err() {
            // Whatever went wrong: a session that is not sound holds nothing.
            *session = None;
            self.held.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
        looked.map_err(StoreError::from)
    }

    /// Passes one turn on; one that is not ours is nobody's concern.
    pub async fn pass_on(&self, what: &str) -> Result<(), StoreError> {
        let mut session = self.session.lock().await;
        let Some(db) = session.as_mut().filter(|_| self.ours(what)) else { return Ok(()) };
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(what);
        let passed = sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1 || '/turn/' || $2, 0))")
            .bind(self.database.schema())
            .bind(what)
            .execute(db);
        let passed = tokio::time::timeout(self.database.patience(), passed).await;
        let passed = passed.map_err(|_| Fault::TimedOut).and_then(|done| done.map_err(Fault::from));
        if passed.is_err() {
            // The locks go with the session, and what was taken on it is taken anew.
            *session = None;
            self.held.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
        passed.map(|_| ()).map_err(StoreError::from)
    }

    /// Passes every turn on.
    pub async fn close(&self) {
        let session = self.session.lock().await.take();
        self.held.write().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(session) = session {
            use sqlx::Connection;
            // However it ends, the locks end with it.
            drop(session.close().await);
        }
    }

    async fn take(&self, db: &mut PgConnection, what: &str) -> Result<bool, Fault> {
        let taken: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1 || '/turn/' || $2, 0))")
                .bind(self.database.schema())
                .bind(what)
                .fetch_one(db)
                .await?;
        if taken {
            self.held.write().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned());
        }
        Ok(taken)
    }
}
