//! What a consumer could not handle, in a table of its own beside the log.

use async_trait::async_trait;
use kernel::event::{Record, Topic};
use kernel::ports::{Clock, DeadLetter, DeadLetters, Delivery, LogError, Place, Replay};
use kernel::words::{RoomId, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::journal::{Journal, signed, unreadable};
use super::log::on_disk;
use super::{Embedded, OpenError};
use crate::clock::SystemClock;

const COLUMNS: &str = "id, consumer_group, offset, topic, room, event_id, event_at, traceparent, value, error, attempts, at, replayed";

/// A letter on its way to the disk.
pub(super) struct SetAside {
    pub group: String,
    pub delivery: Delivery,
    pub error: String,
    pub attempts: u32,
    pub at: Timestamp,
}

impl SetAside {
    /// What is delivered and set aside a second time is the same letter.
    pub fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let record = &self.delivery.record;
        let value = serde_json::to_string(&record.event)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let sql = "INSERT INTO dead_letters
            (consumer_group, offset, topic, room, event_id, event_at, traceparent, value, error, attempts, at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            ON CONFLICT (consumer_group, offset)
            DO UPDATE SET error = excluded.error, attempts = excluded.attempts, at = excluded.at, replayed = 0";
        transaction
            .prepare_cached(sql)?
            .execute(params![
                self.group,
                signed(self.delivery.place.offset),
                record.event.topic().as_str(),
                record.room.as_str(),
                record.id,
                record.at.as_millis(),
                record.traceparent,
                value,
                self.error,
                self.attempts,
                self.at.as_millis(),
            ])
            .map(|_| ())
    }
}

pub(super) fn mark_replayed(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction.execute("UPDATE dead_letters SET replayed = 1 WHERE id = ?1", [id]).map(|_| ())
}

#[async_trait]
impl DeadLetters for Embedded {
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, LogError> {
        let directory = self.tail.directory().to_owned();
        let read = move || {
            let journal = Journal::reader(&directory)?;
            let sql = format!("SELECT {COLUMNS} FROM dead_letters ORDER BY id DESC LIMIT ?1");
            let mut read = journal.0.prepare(&sql)?;
            let mut rows = read.query([signed(limit as u64)])?;
            let mut letters = Vec::new();
            while let Some(row) = rows.next()? {
                letters.push(read_letter(row)?);
            }
            Ok(letters)
        };
        on_disk(read).await
    }

    async fn show(&self, id: &str) -> Result<Option<DeadLetter>, LogError> {
        Ok(self.find(id).await?.map(|found| found.letter))
    }

    async fn replay(&self, id: &str) -> Result<Replay, LogError> {
        let Some(found) = self.find(id).await? else { return Ok(Replay::Unknown) };
        if found.letter.replayed {
            return Ok(Replay::Already);
        }
        let put_back = move |world: &mut super::world::World| {
            world.append(found.record);
            world.changes.replayed.push(found.id);
        };
        let written = self.writer.run(put_back).await;
        written.map_err(|error| LogError::Unavailable(error.to_string()))?;
        Ok(Replay::PutBack)
    }
}

/// A letter with what was in it, ready to be published again.
struct Found {
    id: i64,
    letter: DeadLetter,
    record: Record,
}

impl Embedded {
    pub(super) async fn keep_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        let letter = SetAside {
            group: group.to_owned(),
            delivery: delivery.clone(),
            error: error.to_owned(),
            attempts,
            at: SystemClock.now(),
        };
        let written = self.writer.run(move |world| world.changes.set_aside.push(letter)).await;
        written.map_err(|error| LogError::Unavailable(error.to_string()))
    }

    async fn find(&self, id: &str) -> Result<Option<Found>, LogError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(None) };
        let directory = self.tail.directory().to_owned();
        let read = move || {
            let journal = Journal::reader(&directory)?;
            let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = ?1");
            let found = |row: &Row<'_>| Ok(read_letter(row).and_then(|letter| found(row, id, letter)));
            journal.0.query_row(&sql, [id], found).optional()?.transpose()
        };
        on_disk(read).await
    }
}

fn found(row: &Row<'_>, id: i64, letter: DeadLetter) -> Result<Found, OpenError> {
    let record = Record {
        id: row.get(5)?,
        room: RoomId::parse(row.get_ref(4)?.as_str().map_err(unreadable)?).map_err(unreadable)?,
        at: Timestamp::from_millis(row.get(6)?),
        traceparent: row.get(7)?,
        event: serde_json::from_str(&letter.value).map_err(unreadable)?,
    };
    Ok(Found { id, letter, record })
}

fn read_letter(row: &Row<'_>) -> Result<DeadLetter, OpenError> {
    let topic: String = row.get(3)?;
    let room: String = row.get(4)?;
    Ok(DeadLetter {
        id: row.get::<_, i64>(0)?.to_string(),
        group: row.get(1)?,
        stood_at: Place { partition: 0, offset: row.get(2)? }.to_string(),
        topic: Topic::parse(&topic).ok_or_else(|| unreadable(format!("there is no topic {topic}")))?,
        room: RoomId::parse(&room).ok(),
        event_id: Some(row.get(5)?),
        value: row.get(8)?,
        error: row.get(9)?,
        attempts: row.get(10)?,
        at: Timestamp::from_millis(row.get(11)?),
        replayed: row.get(12)?,
    })
}
