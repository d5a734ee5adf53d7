//! How far the numbers of a room may go. The room store reserves them ahead, so that a room that has to be
//! rebuilt goes on above every number that may be out.

use async_trait::async_trait;
use kernel::ports::StoreError;
use kernel::words::{Number, RoomId};

use super::Database;
use super::database::{Work, int, uint};

/// Numbers of a room may be given only up to its ceiling.
#[async_trait]
pub trait Ceilings: Send + Sync {
    /// Raises the ceiling to at least `at_least` and answers what holds; it never sinks.
    async fn reserve(&self, room: &RoomId, at_least: Number) -> Result<Number, StoreError>;

    /// The ceiling that holds; 0 when none was ever reserved.
    async fn ceiling(&self, room: &RoomId) -> Result<Number, StoreError>;

    /// Whether a ceiling was ever reserved, be it 0: whether this room was ever in a room store.
    async fn known(&self, room: &RoomId) -> Result<bool, StoreError>;
}

#[async_trait]
impl Ceilings for Database {
    async fn reserve(&self, room: &RoomId, at_least: Number) -> Result<Number, StoreError> {
        self.run(|db| {
            Work::of(async move {
                let raised: i64 = sqlx::query_scalar(
                    "INSERT INTO ceilings (room, ceiling) VALUES ($1, $2)
                 ON CONFLICT (room) DO UPDATE SET ceiling = greatest(ceilings.ceiling, excluded.ceiling)
                 RETURNING ceiling",
                )
                .bind(room.as_str())
                .bind(int(at_least))
                .fetch_one(db)
                .await?;
                Ok(uint(raised))
            })
        })
        .await
    }

    async fn ceiling(&self, room: &RoomId) -> Result<Number, StoreError> {
        Ok(self.look(room).await?.unwrap_or(0))
    }

    async fn known(&self, room: &RoomId) -> Result<bool, StoreError> {
        Ok(self.look(room).await?.is_some())
    }
}

impl Database {
    async fn look(&self, room: &RoomId) -> Result<Option<Number>, StoreError> {
        self.run(|db| {
            Work::of(async move {
                let found: Option<i64> = sqlx::query_scalar("SELECT ceiling FROM ceilings WHERE room = $1")
                    .bind(room.as_str())
                    .fetch_optional(db)
                    .await?;
                Ok(found.map(uint))
            })
        })
        .await
    }
}
