//! One connection to Redis that many share, made anew whenever it fails: also when Redis is silent, since a
//! connection whose other end is gone may stay open for a long time.

use kernel::ports::StoreError;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ScriptInvocation, ServerErrorKind};
use tokio::sync::Mutex;

use super::server::{Connection, Server};

/// Redis does not answer, or refuses: what was asked for may have happened or not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Away(String);

impl Away {
    pub fn told(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl From<Away> for StoreError {
    fn from(away: Away) -> Self {
        Self::Unavailable(away.0)
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

    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let (mut connection, generation) = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        self.judge(generation, answer).await
    }

    /// Runs a script by its hash, and sends it whole when Redis has not seen it.
    pub async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Away> {
        let (mut connection, generation) = self.connection().await?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(generation, answer).await
    }

    /// The connection there is, or a new one. Those who come meanwhile wait for it as well.
    async fn connection(&self) -> Result<(Connection, u64), Away> {
        let mut held = self.connection.lock().await;
        let connection = match held.connection.take() {
            Some(connection) => connection,
            None => {
                held.generation += 1;
                self.server.connect().await.map_err(Away::told)?
            }
        };
        held.connection = Some(connection.clone());
        Ok((connection, held.generation))
    }

    /// Gives the connection up that failed, unless somebody did already.
    async fn judge<T>(&self, generation: u64, answer: Result<T, RedisError>) -> Result<T, Away> {
        if let Err(error) = &answer
            && !answered(error)
        {
            let mut held = self.connection.lock().await;
            if held.generation == generation {
                held.connection = None;
            }
        }
        answer.map_err(Away::told)
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
