//! One connection to Redis that many share, made anew whenever it fails: also when Redis is silent, since a
//! connection whose other end is gone may stay open for a long time.

use kernel::ports::StoreError;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, ScriptInvocation, ServerErrorKind};
use tokio::sync::Mutex;

use super::server::{Connection, Server};

/// Why there is no answer to work with; what was asked for may have happened or not.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Fault {
    /// Redis, or what else is needed, does not answer or refuses.
    #[error("{0}")]
    Away(String),
    /// What it holds cannot be read: the same call fails the same way again.
    #[error("{0}")]
    Broken(String),
}

impl Fault {
    pub fn away(why: impl std::fmt::Display) -> Self {
        Self::Away(why.to_string())
    }

    pub fn broken(why: impl std::fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(why) => Self::Unavailable(why),
            Fault::Broken(why) => Self::Broken(why),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Broken(why) => Self::Broken(why),
            StoreError::Unavailable(_) | StoreError::UnknownRoom => Self::Away(error.to_string()),
        }
    }
}

pub(super) struct Link {
    server: Server,
    connection: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    connection: Option<Connection>,
    /// Tells the connection from the ones before it.
    generation: u64,
}

impl Link {
    /// Connects with the first call.
    pub fn new(server: Server) -> Self {
        Self { server, connection: Mutex::default() }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        self.ask(async |mut connection| command.query_async(&mut connection).await).await
    }

    pub async fn run_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Fault> {
        self.ask(async |mut connection| commands.query_async(&mut connection).await).await
    }

    /// Runs a script by its hash, and sends it whole when Redis has not seen it.
    pub async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Fault> {
        self.ask(async |mut connection| script.invoke_async(&mut connection).await).await
    }

    async fn ask<T>(&self, ask: impl AsyncFnOnce(Connection) -> Result<T, RedisError>) -> Result<T, Fault> {
        let (connection, generation) = self.connection().await?;
        let answer = ask(connection).await;
        self.judge(generation, answer).await
    }

    /// The connection there is, or a new one. Those who come meanwhile wait for it as well.
    async fn connection(&self) -> Result<(Connection, u64), Fault> {
        let mut held = self.connection.lock().await;
        let connection = match held.connection.take() {
            Some(connection) => connection,
            None => {
                held.generation += 1;
                self.server.connect().await.map_err(Fault::away)?
            }
        };
        held.connection = Some(connection.clone());
        Ok((connection, held.generation))
    }

    /// Gives the connection up that failed, unless somebody did already.
    async fn judge<T>(&self, generation: u64, answer: Result<T, RedisError>) -> Result<T, Fault> {
        if let Err(error) = &answer
            && !answered(error)
        {
            let mut held = self.connection.lock().await;
            if held.generation == generation {
                held.connection = None;
            }
        }
        answer.map_err(Fault::away)
    }
}

/// Whether the error is what Redis had to say. One that must not be written to may have been replaced by
/// another under its address.
fn answered(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => kind != ServerErrorKind::ReadOnly,
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => true,
        _ => false,
    }
}
