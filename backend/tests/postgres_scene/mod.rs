//! A schema of its own for every test, on the PostgreSQL named by `TURNLINE_DATABASE`, gone at its end.
#![allow(dead_code, reason = "not every test needs all of it")]

use backend::cluster::postgres::{Database, Options};
use backend::entropy::SystemEntropy;
use kernel::ports::Entropy;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub struct Schema {
    pub name: String,
}

impl Schema {
    pub fn fresh() -> Self {
        let random = SystemEntropy.bytes();
        Self { name: format!("test-{}", kernel::words::hex(&random[..8])) }
    }

    pub async fn connect(&self) -> Database {
        self.connect_with(4).await
    }

    pub async fn connect_with(&self, connections: u32) -> Database {
        let options = Options { connections, ..Options::default() };
        Database::connect_with(&url(), &self.name, options).await.unwrap()
    }

    /// A connection beside those of the store, on the same schema.
    pub async fn aside(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&url()).await.unwrap();
        let path = format!("SET search_path TO \"{}\"", self.name);
        sqlx::query(AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
        connection
    }

    /// Ends every connection that stores have to this schema, as a server does that goes down; says how many.
    pub async fn cut(&self, aside: &mut PgConnection) -> i64 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = 'turnline ' || $1";
        sqlx::query_scalar(cut).bind(&self.name).fetch_one(aside).await.unwrap()
    }
}

pub fn url() -> String {
    std::env::var("TURNLINE_DATABASE").unwrap_or_else(|_| {
        panic!("this test needs PostgreSQL: run `cargo xtask services start` and export what it prints")
    })
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop_it = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name);
        // A runtime cannot be entered from within the test's own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url()).await.unwrap();
                sqlx::query(AssertSqlSafe(drop_it)).execute(&mut connection).await.unwrap();
            });
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the schema {} could not be dropped", self.name);
        }
    }
}
