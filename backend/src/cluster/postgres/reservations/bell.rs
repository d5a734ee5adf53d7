//! Rings at the other replicas when there is something to do for whoever has the turn. A hint only: who
//! misses it finds the work at the next look.

use std::sync::Arc;
use std::time::Duration;

use kernel::words::hex;
use sqlx::postgres::PgListener;
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;

use crate::cluster::postgres::database::{Database, Work};

/// Before the bell is listened to anew after it failed.
const REST: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Bell {
    database: Database,
    pulled: Arc<Notify>,
    /// Tells our own ringing from that of others.
    node: Arc<str>,
    listener: Arc<Mutex<Option<PgListener>>>,
    _ringer: Arc<Ringer>,
}

/// Ends the ringing with the last bell.
struct Ringer(AbortHandle);

impl Drop for Ringer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bell {
    /// Has to be made within a tokio runtime.
    pub fn new(database: Database) -> Self {
        let mut random = [0; 8];
        // Without randomness nodes take each other's ringing for their own, and look when they poll.
        let node: Arc<str> =
            getrandom::fill(&mut random).map_or_else(|_| "".into(), |()| hex(&random).into());
        let pulled = Arc::new(Notify::new());
        let ringer = tokio::spawn(ring(database.clone(), node.clone(), pulled.clone())).abort_handle();
        Self { database, pulled, node, listener: Arc::default(), _ringer: Arc::new(Ringer(ringer)) }
    }

    /// Lets the others hear it soon; many pulls at once are one ring.
    pub fn pull(&self) {
        self.pulled.notify_one();
    }

    /// Waits until another replica rings; answers too when listening begins, for what was missed before.
    pub async fn heard(&self) {
        let mut listener = self.listener.lock().await;
        while let Err(error) = self.listen(&mut listener).await {
            tracing::debug!(%error, "other replicas cannot be heard; this one looks for work now and then");
            *listener = None;
            tokio::time::sleep(REST).await;
        }
    }

    /// Listens no more. Whoever waits for a ring just now hears that the pool is closed.
    pub fn close(&self) {
        if let Ok(mut listener) = self.listener.try_lock() {
            *listener = None;
        }
    }

    async fn listen(&self, listener: &mut Option<PgListener>) -> Result<(), sqlx::Error> {
        let Some(ear) = listener else {
            let mut ear = PgListener::connect_with(self.database.pool()).await?;
            ear.listen(self.database.schema()).await?;
            *listener = Some(ear);
            return Ok(());
        };
        loop {
            match ear.try_recv().await? {
                Some(rung) if rung.payload() == &*self.node => {}
                // None: it was cut and connected anew.
                Some(_) | None => return Ok(()),
            }
        }
    }
}

async fn ring(database: Database, node: Arc<str>, pulled: Arc<Notify>) {
    loop {
        pulled.notified().await;
        let rung = database.run(|db| {
            let node = &*node;
            Work::of(async move {
                sqlx::query("SELECT pg_notify(current_schema(), $1)").bind(node).execute(db).await?;
                Ok(())
            })
        });
        if let Err(error) = rung.await {
            tracing::debug!(%error, "other replicas could not be rung; they look for work now and then");
        }
    }
}
