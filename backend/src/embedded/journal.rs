//! The SQLite file: what is written in one commit, and what is read at start and by late consumers.

use std::collections::HashMap;
use std::path::Path;

use kernel::event::{Event, Record, RoomEvent, Topic};
use kernel::ports::RoomRecord;
use kernel::room::Room;
use kernel::ticket::RoomBirth;
use kernel::words::{RoomId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::OpenError;
use super::dead_letters::{SetAside, mark_replayed};

const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/sqlite/rooms/0001_rooms_and_log.sql"),
    include_str!("../../migrations/sqlite/rooms/0002_dead_letters.sql"),
];

pub(super) struct Journal(pub(super) Connection);

/// A record at its place in the log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub offset: u64,
    pub record: std::sync::Arc<Record>,
}

/// A room as it was read from disk.
pub(super) struct Restored {
    pub room: Room,
    /// Events behind its snapshot.
    pub replayed: u64,
}

/// All that one commit puts on disk.
#[derive(Default)]
pub(super) struct Changes {
    pub entries: Vec<Entry>,
    pub registry: Vec<RoomRecord>,
    pub committed: HashMap<String, u64>,
    /// (room, the log's offset it stands at, the room itself)
    pub snapshots: Vec<(RoomId, u64, Vec<u8>)>,
    pub set_aside: Vec<SetAside>,
    /// Dead letters that were put back.
    pub replayed: Vec<i64>,
}

impl Changes {
    /// Whether somebody waits for these to be on disk; offsets alone can be repeated.
    pub fn urgent(&self) -> bool {
        !self.entries.is_empty()
            || !self.registry.is_empty()
            || !self.snapshots.is_empty()
            || !self.set_aside.is_empty()
            || !self.replayed.is_empty()
    }
}

impl Journal {
    /// WAL with a full sync at every commit: what is acknowledged survives a power cut.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let mut db = Connection::open(directory.join("rooms.sqlite"))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let done: usize = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if done > MIGRATIONS.len() {
            return Err(unreadable("it was written by a newer Turnline"));
        }
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
        changes.set_aside.iter().try_for_each(|letter| letter.write(&transaction))?;
        changes.replayed.iter().try_for_each(|id| mark_replayed(&transaction, *id))?;
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
    pub fn rooms(&self) -> Result<HashMap<RoomId, Restored>, OpenError> {
        let mut rooms = HashMap::new();
        // Of a room without a snapshot every event counts; of the others only those behind it.
        let mut from = if self.all_have_snapshots()? { u64::MAX } else { 0 };
        let mut read = self.0.prepare("SELECT room, offset, state FROM snapshots")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let id = room_of(row, 0)?;
            match rmp_serde::from_slice(row.get_ref(2)?.as_blob().map_err(unreadable)?) {
                Ok(room) => {
                    rooms.insert(id, Restored { room, replayed: 0 });
                    from = from.min(row.get(1)?);
                }
                // A snapshot only saves time: the log says the same.
                Err(error) => {
                    tracing::warn!(room = %id, %error, "a snapshot cannot be read; all of the room's events are");
                    from = 0;
                }
            }
        }
        self.replay(&mut rooms, from)?;
        Ok(rooms)
    }

    fn all_have_snapshots(&self) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM registry)
            AND NOT EXISTS (SELECT 1 FROM registry WHERE room NOT IN (SELECT room FROM snapshots))";
        self.0.query_row(sql, [], |row| row.get(0))
    }

    fn replay(&self, rooms: &mut HashMap<RoomId, Restored>, from: u64) -> Result<(), OpenError> {
        let mut read =
            self.0.prepare("SELECT value FROM log WHERE offset > ?1 AND seq IS NOT NULL ORDER BY offset")?;
        let mut rows = read.query([signed(from)])?;
        while let Some(row) = rows.next()? {
            let value = row.get_ref(0)?.as_str().map_err(unreadable)?;
            let Event::Room(event) = serde_json::from_str(value).map_err(unreadable)? else { continue };
            match rooms.get_mut(&event.room) {
                Some(restored) => {
                    let stood_at = restored.room.state().seq;
                    restored.room.apply(&event);
                    restored.replayed += restored.room.state().seq - stood_at;
                }
                None => {
                    let room =
                        Room::from_first(&event).ok_or_else(|| unreadable("a room without its beginning"))?;
                    rooms.insert(event.room.clone(), Restored { room, replayed: 1 });
                }
            }
        }
        Ok(())
    }

    /// The room's events in the order of `seq`, each once.
    pub fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, OpenError> {
        let mut read = self
            .0
            .prepare("SELECT value FROM log WHERE room = ?1 AND seq IS NOT NULL ORDER BY seq, offset")?;
        let mut rows = read.query([room.as_str()])?;
        let mut events: Vec<RoomEvent> = Vec::new();
        while let Some(row) = rows.next()? {
            let value = row.get_ref(0)?.as_str().map_err(unreadable)?;
            let Event::Room(event) = serde_json::from_str(value).map_err(unreadable)? else { continue };
            if events.last().is_none_or(|last| last.seq != event.seq) {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// Entries behind `offset` of the given topics, at most `limit`, and how far was looked.
    pub fn entries_after(
        &mut self,
        offset: u64,
        limit: usize,
        topics: &[Topic],
    ) -> Result<(Vec<Entry>, u64), OpenError> {
        // One moment for both questions.
        let moment = self.0.transaction()?;
        let end: u64 = moment.query_row("SELECT coalesce(max(offset), 0) FROM log", [], |row| row.get(0))?;
        let marks = vec!["?"; topics.len()].join(", ");
        let sql = format!(
            "SELECT offset, topic, room, id, at, traceparent, value FROM log
             WHERE offset > ? AND topic IN ({marks}) ORDER BY offset LIMIT ?"
        );
        let mut read = moment.prepare(&sql)?;
        let mut values: Vec<rusqlite::types::Value> = vec![signed(offset).into()];
        values.extend(topics.iter().map(|topic| topic.as_str().to_owned().into()));
        values.push(signed(limit as u64).into());
        let mut rows = read.query(rusqlite::params_from_iter(values))?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(read_entry(row)?);
        }
        // What was not found among all there is need not be looked for again.
        let full = entries.last().filter(|_| entries.len() >= limit);
        let seen = full.map_or(end.max(offset), |last| last.offset);
        Ok((entries, seen))
    }
}

fn write_entry(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let record = &entry.record;
    let seq = record.event.of_room().map(|event| event.seq);
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

/// SQLite's integers are signed; no log is as long as they reach.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> OpenError {
    OpenError::Unreadable(error.to_string())
}
