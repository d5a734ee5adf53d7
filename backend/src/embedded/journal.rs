//! The SQLite file: what is written in one commit, and what is read at start and by late consumers.

use std::collections::HashMap;
use std::path::Path;

use kernel::event::{Event, Record, Topic};
use kernel::ports::RoomRecord;
use kernel::room::Room;
use kernel::ticket::RoomBirth;
use kernel::words::{RoomId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::OpenError;

const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/sqlite/rooms/0001_rooms_and_log.sql")];

pub(super) struct Journal(Connection);

/// A record at its place in the log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub offset: u64,
    pub record: std::sync::Arc<Record>,
}

/// All that one commit puts on disk.
#[derive(Default)]
pub(super) struct Changes {
    pub entries: Vec<Entry>,
    pub registry: Vec<RoomRecord>,
    pub committed: HashMap<String, u64>,
    /// (room, the log's offset it stands at, the room itself)
    pub snapshots: Vec<(RoomId, u64, Vec<u8>)>,
}

impl Changes {
    /// Whether somebody waits for these to be on disk; offsets alone can be repeated.
    pub fn urgent(&self) -> bool {
        !self.entries.is_empty() || !self.registry.is_empty() || !self.snapshots.is_empty()
    }
}

impl Journal {
    /// WAL with a full sync at every commit: what is acknowledged survives a power cut.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let mut db = Connection::open(directory.join("rooms.sqlite"))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let done: usize = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for (at, migration) in MIGRATIONS.iter().enumerate().skip(done) {
            let step = db.transaction()?;
            step.execute_batch(migration)?;
            step.pragma_update(None, "user_version", at + 1)?;
            step.commit()?;
        }
        Ok(Self(db))
    }

    /// A second connection that only reads.
    pub fn reader(directory: &Path) -> Result<Self, OpenError> {
        let db = Connection::open(directory.join("rooms.sqlite"))?;
        db.pragma_update(None, "query_only", true)?;
        Ok(Self(db))
    }

    pub fn write(&mut self, changes: &Changes) -> rusqlite::Result<()> {
        let transaction = self.0.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        changes.registry.iter().try_for_each(|record| write_registry(&transaction, record))?;
        changes.entries.iter().try_for_each(|entry| write_entry(&transaction, entry))?;
        for (group, offset) in &changes.committed {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO committed (consumer_group, offset) VALUES (?1, ?2)")?
                .execute(params![group, offset])?;
        }
        for (room, offset, state) in &changes.snapshots {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO snapshots (room, offset, state) VALUES (?1, ?2, ?3)")?
                .execute(params![room.as_str(), offset, state])?;
        }
        transaction.commit()
    }

    pub fn last_offset(&self) -> rusqlite::Result<u64> {
        self.0.query_row("SELECT coalesce(max(offset), 0) FROM log", [], |row| row.get(0))
    }

    pub fn committed(&self, group: &str) -> rusqlite::Result<u64> {
        let sql = "SELECT offset FROM committed WHERE consumer_group = ?1";
        Ok(self.0.query_row(sql, [group], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    pub fn registry(&self) -> Result<Vec<RoomRecord>, OpenError> {
        let mut read =
            self.0.prepare("SELECT room, born, policy, visitor_key, lottery_secret FROM registry")?;
        let mut rows = read.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(read_registry(row)?);
        }
        Ok(records)
    }

    /// Every room: its snapshot, if any, and the events behind it.
    pub fn rooms(&self) -> Result<HashMap<RoomId, Room>, OpenError> {
        let mut rooms = HashMap::new();
        let mut stands_at = HashMap::new();
        let mut read = self.0.prepare("SELECT room, offset, state FROM snapshots")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let room = room_of(row, 0)?;
            let state = rmp_serde::from_slice::<Room>(row.get_ref(2)?.as_blob().map_err(unreadable)?);
            stands_at.insert(room.clone(), row.get::<_, u64>(1)?);
            rooms.insert(room, state.map_err(unreadable)?);
        }
        self.replay(&mut rooms, &stands_at)?;
        Ok(rooms)
    }

    fn replay(
        &self,
        rooms: &mut HashMap<RoomId, Room>,
        stands_at: &HashMap<RoomId, u64>,
    ) -> Result<(), OpenError> {
        // A room without a snapshot may begin anywhere, so only when all have one can the start be skipped.
        let known: u64 = self.0.query_row("SELECT count(*) FROM registry", [], |row| row.get(0))?;
        let everyone_has_one = stands_at.len() as u64 >= known && known > 0;
        let from = if everyone_has_one { stands_at.values().min().copied().unwrap_or(0) } else { 0 };
        let mut read = self
            .0
            .prepare("SELECT room, value FROM log WHERE offset > ?1 AND seq IS NOT NULL ORDER BY offset")?;
        let mut rows = read.query([from])?;
        while let Some(row) = rows.next()? {
            let value = row.get_ref(1)?.as_str().map_err(unreadable)?;
            let Event::Room(event) = serde_json::from_str(value).map_err(unreadable)? else { continue };
            match rooms.get_mut(&event.room) {
                Some(room) => room.apply(&event),
                None => {
                    let room =
                        Room::from_first(&event).ok_or_else(|| unreadable("a room without its beginning"))?;
                    rooms.insert(event.room.clone(), room);
                }
            }
        }
        Ok(())
    }

    /// Entries behind `offset` of the given topics, at most `limit`, and how far was looked.
    pub fn entries_after(
        &self,
        offset: u64,
        limit: usize,
        topics: &[Topic],
    ) -> Result<(Vec<Entry>, u64), OpenError> {
        let sql = "SELECT offset, topic, room, id, at, traceparent, value FROM log WHERE offset > ?1 ORDER BY offset LIMIT ?2";
        let mut read = self.0.prepare_cached(sql)?;
        let mut rows = read.query(params![offset, limit])?;
        let (mut entries, mut seen) = (Vec::new(), offset);
        while let Some(row) = rows.next()? {
            seen = row.get(0)?;
            let topic = row.get_ref(1)?.as_str().map_err(unreadable)?;
            if topics.iter().any(|wanted| wanted.as_str() == topic) {
                entries.push(read_entry(row)?);
            }
        }
        Ok((entries, seen))
    }
}

fn write_entry(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let record = &entry.record;
    let seq = match &record.event {
        Event::Room(event) => Some(event.seq),
        Event::Payment(_) | Event::Cancellation(_) | Event::Reply(_) => None,
    };
    let value = serde_json::to_string(&record.event)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    transaction
        .prepare_cached(
            "INSERT INTO log (offset, topic, room, seq, id, at, traceparent, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            entry.offset,
            record.event.topic().as_str(),
            record.room.as_str(),
            seq,
            record.id,
            record.at.as_millis(),
            record.traceparent,
            value
        ])
        .map(|_| ())
}

fn read_entry(row: &Row<'_>) -> Result<Entry, OpenError> {
    let record = Record {
        room: room_of(row, 2)?,
        id: row.get(3)?,
        at: Timestamp::from_millis(row.get(4)?),
        traceparent: row.get(5)?,
        event: serde_json::from_str(row.get_ref(6)?.as_str().map_err(unreadable)?).map_err(unreadable)?,
    };
    Ok(Entry { offset: row.get(0)?, record: std::sync::Arc::new(record) })
}

fn write_registry(transaction: &Transaction<'_>, record: &RoomRecord) -> rusqlite::Result<()> {
    let policy = serde_json::to_string(&record.policy)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    // SQLite's integers are signed: a birth keeps its bits.
    let born = record.birth.born.cast_signed();
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO registry (room, born, policy, visitor_key, lottery_secret) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![record.birth.room.as_str(), born, policy, record.visitor_key, record.lottery_secret])
        .map(|_| ())
}

fn read_registry(row: &Row<'_>) -> Result<RoomRecord, OpenError> {
    Ok(RoomRecord {
        birth: RoomBirth { room: room_of(row, 0)?, born: row.get::<_, i64>(1)?.cast_unsigned() },
        policy: serde_json::from_str(row.get_ref(2)?.as_str().map_err(unreadable)?).map_err(unreadable)?,
        visitor_key: row.get(3)?,
        lottery_secret: row.get(4)?,
    })
}

fn room_of(row: &Row<'_>, column: usize) -> Result<RoomId, OpenError> {
    RoomId::parse(row.get_ref(column)?.as_str().map_err(unreadable)?).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> OpenError {
    OpenError::Unreadable(error.to_string())
}
