//! One schema of a PostgreSQL database: connecting, migrating, and running work under time limits, again
//! when it collided with another replica's.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kernel::ports::StoreError;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, SqlSafeStr};

use super::fault::Fault;

/// The schema of a Turnline that was given no namespace.
const DEFAULT_SCHEMA: &str = "turnline";
/// What PostgreSQL takes as a name, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// How long other processes that start may take for their migrations.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(60);
/// A connection that was idle this long is tried before work is trusted to it.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long the database may take to answer before it counts as away.
const PROBE: Duration = Duration::from_secs(2);
/// How often work is done again that collided with another replica's, or whose connection broke.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// Number, name and text of a migration.
type Step = (i64, &'static str, &'static str);
const REGISTRY: [Step; 1] =
    [(1, "registry", include_str!("../../../migrations/postgres/registry/0001_registry.sql"))];
const RESERVATIONS: [Step; 4] = [
    (1, "shop", include_str!("../../../migrations/postgres/reservations/0001_shop.sql")),
    (2, "inbox", include_str!("../../../migrations/postgres/reservations/0002_inbox.sql")),
    (3, "append_only", include_str!("../../../migrations/postgres/reservations/0003_append_only.sql")),
    (4, "outbox_parts", include_str!("../../../migrations/postgres/reservations/0004_outbox_parts.sql")),
];

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections of this process at most.
    pub connections: u32,
    /// How long to wait for a free connection, and for a new one to be made.
    pub acquire_timeout: Duration,
    /// How long one statement may take in the server.
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 16,
            acquire_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// A schema, with its tables in the form this version knows. Cheap to clone; clones share one pool.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    schema: Arc<str>,
    /// For connections beside the pool.
    to: Arc<PgConnectOptions>,
    options: Options,
}

/// What a transaction came to.
pub(super) enum Done<T> {
    Keep(T),
    /// Nothing changed, and nothing is written down.
    Undo(T),
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "this is no address of a PostgreSQL database ({0}); write postgres://NAME:PASSWORD@HOST:PORT/DATABASE"
    )]
    BadUrl(String),
    #[error("a namespace is 1 to 63 of a-z 0-9 _ -, and does not begin with pg_: {0:?} is none")]
    BadNamespace(String),
    // The causes stand in the sentences already: they are no sources, which would be told once more.
    #[error("PostgreSQL does not answer: {0}; is it running, and are name and password right?")]
    Unreachable(String),
    #[error("another process has been changing the tables for {} s; see what it waits for, and start again", .0.as_secs())]
    Busy(Duration),
    #[error("the schema {0} was made by a newer Turnline; run that one, or another --namespace")]
    Newer(String),
    #[error("the tables of the schema {0} could not be made: {1}")]
    Migration(String, String),
}

impl Database {
    /// Connects with the usual [`Options`] to the schema named as the namespace (`turnline` when that is
    /// empty), makes it when it is missing, and brings its tables up to date; one process at a time does.
    ///
    /// # Errors
    /// The address or the name is none, the server does not answer in a few seconds, or the tables are not
    /// and cannot become what this version knows.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, namespace, Options::default()).await
    }

    /// See [`Database::connect`].
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with(url: &str, namespace: &str, options: Options) -> Result<Self, ConnectError> {
        let schema = schema_of(namespace)?;
        // Quoted: names may begin with a digit or have a hyphen, and none has a quote.
        let to = PgConnectOptions::from_str(url)
            .map_err(|error| ConnectError::BadUrl(error.to_string()))?
            .application_name(&format!("turnline {schema}"))
            .options([
                ("search_path", format!("\"{schema}\"").as_str()),
                ("default_transaction_isolation", "read committed"),
                // A host that vanished gives its locks back within seconds.
                ("tcp_keepalives_idle", "5"),
                ("tcp_keepalives_interval", "2"),
                ("tcp_keepalives_count", "3"),
            ]);
        migrate(&to, schema, options).await?;
        let statement_ms = options.statement_timeout.as_millis();
        let to = to.options([
            ("statement_timeout", statement_ms),
            // A process that stands still in a transaction must not hold its locks for ever.
            ("idle_in_transaction_session_timeout", 2 * statement_ms),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, seen| {
                Box::pin(async move {
                    if seen.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(to.clone());
        Ok(Self { pool, schema: schema.into(), to: Arc::new(to), options })
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// It does not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        // Once more: a connection that was cut says nothing of the server as it is now.
        self.run_within(PROBE, 2, |db| Work::of(async move { Ok(db.ping().await?) })).await
    }

    /// Gives all connections back; what comes after is refused.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection of its own, beside the pool.
    pub(super) async fn session(&self) -> Result<PgConnection, Fault> {
        if self.pool.is_closed() {
            return Err(Fault::Sql(sqlx::Error::PoolClosed));
        }
        let connected = tokio::time::timeout(self.options.acquire_timeout, self.to.connect()).await;
        Ok(connected.map_err(|_| Fault::TimedOut)??)
    }

    /// As long as work may take that the server does not end by itself.
    pub(super) fn patience(&self) -> Duration {
        self.options.statement_timeout * 2
    }

    /// Runs one statement, or several that need not be one step. Again when its connection was cut: so it
    /// has to be work that may be done twice.
    pub(super) async fn run<'w, T>(
        &self,
        work: impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, T> + Sync,
    ) -> Result<T, StoreError> {
        self.run_within(self.patience(), ATTEMPTS, work).await
    }

    /// The same, with so much patience for each attempt.
    async fn run_within<'w, T>(
        &self,
        patience: Duration,
        attempts: u32,
        work: impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, T> + Sync,
    ) -> Result<T, StoreError> {
        let mut attempt = 1;
        loop {
            match self.once(patience, &work).await {
                Ok(done) => return Ok(done),
                Err(fault) if attempt < attempts && fault.may_try_again() => pause(attempt).await,
                Err(fault) => return Err(fault.into()),
            }
            attempt += 1;
        }
    }

    /// Runs work in one transaction. Again when it collided with another one, or when its connection was cut
    /// before the end was asked for; when it was cut at the end, nobody knows what became of it.
    pub(super) async fn transact<'w, T: Send>(
        &self,
        work: impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, Done<T>> + Sync,
    ) -> Result<T, StoreError> {
        self.transact_within(self.patience(), work).await
    }

    /// The same, with so much patience for each attempt.
    pub(super) async fn transact_within<'w, T: Send>(
        &self,
        patience: Duration,
        work: impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, Done<T>> + Sync,
    ) -> Result<T, StoreError> {
        let work = &work;
        self.run_within(patience, ATTEMPTS, |db| Work::of(in_transaction(db, work))).await
    }

    async fn once<'w, T>(
        &self,
        patience: Duration,
        work: &(impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, T> + Sync),
    ) -> Result<T, Fault> {
        let acquired = tokio::time::timeout(patience, self.pool.acquire()).await;
        let mut connection = acquired.map_err(|_| Fault::TimedOut)??;
        let done = tokio::time::timeout(patience, work(&mut connection).done()).await;
        done.unwrap_or_else(|_| {
            // The server would have ended the statement: the way to it is gone, and so is this connection.
            drop(connection.detach());
            Err(Fault::TimedOut)
        })
    }
}

async fn in_transaction<'w, T>(
    db: &mut PgConnection,
    work: &(impl for<'c> Fn(&'c mut PgConnection) -> Work<'w, 'c, Done<T>> + Sync),
) -> Result<T, Fault> {
    let mut transaction = db.begin().await?;
    let done = work(&mut transaction).done().await?;
    match done {
        Done::Keep(answer) => {
            transaction.commit().await.map_err(|error| Fault::from(error).at_the_end())?;
            Ok(answer)
        }
        Done::Undo(answer) => {
            // What is not committed is not there, however its connection ends.
            drop(transaction.rollback().await);
            Ok(answer)
        }
    }
}

/// Work on a connection that lives for `'c`, with what was borrowed for `'w`: the compiler cannot be told of
/// such a future otherwise when it has to be sent between threads.
pub(super) struct Work<'w, 'c, T>(
    Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'c>>,
    PhantomData<&'c &'w ()>,
);

impl<'w, 'c, T> Work<'w, 'c, T> {
    pub fn of(work: impl Future<Output = Result<T, Fault>> + Send + 'c) -> Self {
        Self(Box::pin(work), PhantomData)
    }

    pub async fn done(self) -> Result<T, Fault> {
        self.0.await
    }
}

fn schema_of(namespace: &str) -> Result<&str, ConnectError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    match namespace {
        "" => Ok(DEFAULT_SCHEMA),
        name if name.len() <= NAME_BYTES_MAX && name.chars().all(allowed) && !name.starts_with("pg_") => {
            Ok(name)
        }
        name => Err(ConnectError::BadNamespace(name.to_owned())),
    }
}

/// Over a connection of its own, without a limit a statement: waiting for the lock is one, and so is the
/// making of an index. The lock goes with the connection, whatever happens.
async fn migrate(to: &PgConnectOptions, schema: &str, options: Options) -> Result<(), ConnectError> {
    let timed_out = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let mut connection = tokio::time::timeout(options.acquire_timeout, to.connect())
        .await
        .unwrap_or_else(|_| Err(timed_out()))
        .map_err(|error| ConnectError::Unreachable(error.to_string()))?;
    let migrated = tokio::time::timeout(MIGRATION_PATIENCE, bring_up(&mut connection, schema))
        .await
        .map_err(|_| ConnectError::Busy(MIGRATION_PATIENCE))?;
    // What was done is done, however the connection ends.
    drop(connection.close().await);
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(_) => ConnectError::Newer(schema.to_owned()),
        MigrateError::Execute(error @ sqlx::Error::Io(_))
        | MigrateError::ExecuteMigration(error @ sqlx::Error::Io(_), _) => {
            ConnectError::Unreachable(error.to_string())
        }
        error => ConnectError::Migration(schema.to_owned(), error.to_string()),
    })
}

async fn bring_up(connection: &mut PgConnection, schema: &str) -> Result<(), MigrateError> {
    connection.lock().await?;
    // Asked first: who may use a schema need not be allowed to make one.
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        connection.create_schema_if_not_exists(&format!("\"{schema}\"")).await?;
    }
    migrator("registry_migrations", &REGISTRY).run_direct(None, connection, false).await?;
    migrator("reservations_migrations", &RESERVATIONS).run_direct(None, connection, false).await?;
    connection.unlock().await
}

fn migrator(table: &'static str, steps: &'static [Step]) -> Migrator {
    let step = |(version, name, sql): &Step| {
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(steps.iter().map(step).collect());
    migrator.dangerous_set_table_name(table);
    // We hold the lock for all of them.
    migrator.set_locking(false);
    migrator
}

/// Longer with every attempt, and not the same for two that collided.
async fn pause(attempt: u32) {
    let longest = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(Duration::from_millis(250));
    let mut random = [0; 1];
    // Without randomness the pause is the longest.
    let part = getrandom::fill(&mut random).map_or(255, |()| u32::from(random[0]));
    tokio::time::sleep(longest.mul_f64(f64::from(part + 1) / 256.0)).await;
}

/// Integers of PostgreSQL are signed; what does not fit is larger than anything that is counted here.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
