//! The registry of rooms. Who saves a room first gives it its birth and its lottery secret, for all.

use async_trait::async_trait;
use kernel::ports::{Registry, RoomRecord, StoreError};
use kernel::ticket::RoomBirth;
use kernel::words::RoomId;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Database;
use super::database::Work;
use super::fault::Fault;

/// Cheap to clone.
#[derive(Clone)]
pub struct PgRegistry {
    database: Database,
}

impl PgRegistry {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Registry for PgRegistry {
    async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
        let save = "INSERT INTO registry (room, born, policy, visitor_key, lottery_secret)
                    VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (room) DO UPDATE
                       SET policy = excluded.policy, visitor_key = excluded.visitor_key
                    RETURNING room, born, policy, visitor_key, lottery_secret";
        self.put(save, record).await
    }

    async fn save_policy(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
        let save = "INSERT INTO registry (room, born, policy, visitor_key, lottery_secret)
                    VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (room) DO UPDATE SET policy = excluded.policy
                    RETURNING room, born, policy, visitor_key, lottery_secret";
        self.put(save, record).await
    }

    async fn load(&self, room: &RoomId) -> Result<Option<RoomRecord>, StoreError> {
        self.database
            .run(|db| {
                Work::of(async move {
                    let found = sqlx::query(
                    "SELECT room, born, policy, visitor_key, lottery_secret FROM registry WHERE room = $1",
                )
                .bind(room.as_str())
                .fetch_optional(db)
                .await?;
                    found.as_ref().map(read).transpose()
                })
            })
            .await
    }

    async fn all(&self) -> Result<Vec<RoomRecord>, StoreError> {
        self.database
            .run(|db| {
                Work::of(async move {
                    let rows = sqlx::query(
                        "SELECT room, born, policy, visitor_key, lottery_secret FROM registry ORDER BY room",
                    )
                    .fetch_all(db)
                    .await?;
                    rows.iter().map(read).collect()
                })
            })
            .await
    }
}

impl PgRegistry {
    async fn put(&self, save: &'static str, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
        let policy =
            serde_json::to_string(&record.policy).map_err(|error| StoreError::Broken(error.to_string()))?;
        let policy = policy.as_str();
        let kept = self.database.run(|db| {
            Work::of(async move {
                let kept = sqlx::query(save)
                    .bind(record.birth.room.as_str())
                    .bind(record.birth.born.cast_signed())
                    .bind(policy)
                    .bind(record.visitor_key.as_deref())
                    .bind(record.lottery_secret.as_slice())
                    .fetch_one(db)
                    .await?;
                read(&kept)
            })
        });
        kept.await
    }
}

fn read(row: &PgRow) -> Result<RoomRecord, Fault> {
    let room: &str = row.try_get(0)?;
    let unreadable = |what: String| Fault::Broken(format!("room {room} of the registry: {what}"));
    let born: i64 = row.try_get(1)?;
    let secret: &[u8] = row.try_get(4)?;
    Ok(RoomRecord {
        birth: RoomBirth {
            room: RoomId::parse(room).map_err(|bad| unreadable(bad.to_string()))?,
            born: born.cast_unsigned(),
        },
        policy: serde_json::from_str(row.try_get(2)?).map_err(|error| unreadable(error.to_string()))?,
        visitor_key: row.try_get(3)?,
        lottery_secret: secret
            .try_into()
            .map_err(|_| unreadable("its lottery secret is not of 32 bytes".to_owned()))?,
    })
}
