//! The event log as consumers see it: the newest entries in memory, older ones from disk. It promises no
//! more than Kafka does: order a room, at least once.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use dashmap::DashMap;
use kernel::event::{Record, RoomEvent, Topic};
use kernel::ports::{Consumer, Delivery, EventLog, LogError, Place, StartAt, Subscription};
use kernel::words::RoomId;
use tokio::sync::watch;

use super::Embedded;
use super::journal::{Entry, Journal};
use super::writer::Writer;

/// Entries kept in memory for consumers that keep up.
const RECENT: usize = 16_384;

/// The end of the log.
pub(super) struct Tail {
    directory: PathBuf,
    recent: RwLock<Recent>,
    /// Of the rooms that events were shown of: the last one's `seq`.
    versions: DashMap<RoomId, u64>,
    end: watch::Sender<u64>,
}

struct Recent {
    entries: VecDeque<Entry>,
    /// Every entry behind this offset is in memory.
    from: u64,
    committed: HashMap<String, u64>,
}

impl Tail {
    pub fn new(directory: PathBuf, last_offset: u64) -> Self {
        let recent = Recent { entries: VecDeque::new(), from: last_offset, committed: HashMap::new() };
        let (recent, end) = (RwLock::new(recent), watch::Sender::new(last_offset));
        Self { directory, recent, versions: DashMap::new(), end }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The room's version on disk; `None` when nothing has happened there since the start.
    pub fn version(&self, room: &RoomId) -> Option<u64> {
        self.versions.get(room).map(|version| *version)
    }

    /// Shows entries that are on disk to the consumers, before anybody is answered about them.
    pub fn show(&self, entries: Vec<Entry>, committed: &HashMap<String, u64>) {
        let Ok(mut recent) = self.recent.write() else { return };
        recent.committed.extend(committed.iter().map(|(group, offset)| (group.clone(), *offset)));
        let Some(last) = entries.last().map(|entry| entry.offset) else { return };
        for event in entries.iter().filter_map(|entry| entry.record.event.of_room()) {
            let mut known = self.versions.entry(event.room.clone()).or_default();
            // One that was told before may be put back from the dead letters.
            *known = event.seq.max(*known);
        }
        recent.entries.extend(entries);
        while recent.entries.len() > RECENT {
            recent.from = recent.entries.pop_front().map_or(recent.from, |entry| entry.offset);
        }
        drop(recent);
        self.end.send_replace(last);
    }

    /// The log on disk ends at `last_offset`, whatever was shown of it: a commit that was told as failed may
    /// have got there all the same. Who has not read so far reads on from the disk.
    pub fn restart(&self, last_offset: u64) {
        let Ok(mut recent) = self.recent.write() else { return };
        if recent.entries.back().map_or(recent.from, |entry| entry.offset) == last_offset {
            return;
        }
        // What was not shown may have changed any room.
        self.versions.clear();
        *recent = Recent { entries: VecDeque::new(), from: last_offset, committed: HashMap::new() };
        drop(recent);
        self.end.send_replace(last_offset);
    }

    /// Entries behind `offset`, and how far was looked; `None` when they are no longer in memory.
    fn after(&self, offset: u64, limit: usize, topics: &[Topic]) -> Option<(Vec<Entry>, u64)> {
        let recent = self.recent.read().ok()?;
        if offset < recent.from {
            return None;
        }
        let start = recent.entries.partition_point(|entry| entry.offset <= offset);
        let (mut found, mut seen) = (Vec::new(), offset);
        for entry in recent.entries.range(start..) {
            seen = entry.offset;
            if topics.contains(&entry.record.event.topic()) {
                found.push(entry.clone());
                if found.len() == limit {
                    break;
                }
            }
        }
        Some((found, seen))
    }

    fn committed(&self, group: &str) -> Option<u64> {
        self.recent.read().ok()?.committed.get(group).copied()
    }
}

#[async_trait]
impl EventLog for Embedded {
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        let published =
            self.writer.run(move |world| records.into_iter().for_each(|record| world.append(record))).await;
        published.map_err(|error| LogError::Unavailable(error.to_string()))
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        let position = match subscription.start {
            StartAt::Tail => *self.tail.end.borrow(),
            StartAt::Committed => self.committed(subscription.group.clone()).await?,
        };
        Ok(Box::new(Reader {
            group: subscription.group,
            topics: subscription.topics,
            position,
            tail: self.tail.clone(),
            end: self.tail.end.subscribe(),
            writer: self.writer.clone(),
            repeat: Repeat { every: self.options.redeliver_every, batches: 0, last: Vec::new() },
        }))
    }

    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
        let (directory, room) = (self.tail.directory().to_owned(), room.clone());
        on_disk(move || Journal::reader(&directory)?.history(&room)).await
    }

    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        self.keep_aside(group, delivery, error, attempts).await
    }
}

impl Embedded {
    async fn committed(&self, group: String) -> Result<u64, LogError> {
        if let Some(offset) = self.tail.committed(&group) {
            return Ok(offset);
        }
        let tail = self.tail.clone();
        on_disk(move || Journal::reader(&tail.directory)?.committed(&group).map_err(Into::into)).await
    }
}

/// One consumer. There is one process, so a group has one consumer at a time.
struct Reader {
    group: String,
    topics: Vec<Topic>,
    position: u64,
    tail: Arc<Tail>,
    end: watch::Receiver<u64>,
    writer: Writer,
    repeat: Repeat,
}

/// Delivers a batch twice now and then, so that nobody comes to rely on more than the log promises.
struct Repeat {
    every: Option<u64>,
    batches: u64,
    last: Vec<Delivery>,
}

impl Repeat {
    fn due(&mut self) -> Option<Vec<Delivery>> {
        let every = self.every?;
        self.batches += 1;
        (self.batches.is_multiple_of(every) && !self.last.is_empty()).then(|| std::mem::take(&mut self.last))
    }

    fn keep(&mut self, batch: &[Delivery]) {
        if self.every.is_some() {
            self.last = batch.to_vec();
        }
    }
}

#[async_trait]
impl Consumer for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, LogError> {
        if let Some(again) = self.repeat.due() {
            return Ok(again);
        }
        loop {
            self.end.borrow_and_update();
            let (entries, seen) = match self.tail.after(self.position, limit, &self.topics) {
                Some(found) => found,
                None => self.read_disk(limit).await?,
            };
            let moved = seen > self.position;
            self.position = seen;
            if !entries.is_empty() {
                let batch: Vec<_> = entries.into_iter().map(deliver).collect();
                self.repeat.keep(&batch);
                return Ok(batch);
            }
            if !moved {
                let ended = |_| LogError::Unavailable("the log has been closed".to_owned());
                self.end.changed().await.map_err(ended)?;
            }
        }
    }

    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError> {
        let (group, offset) = (self.group.clone(), delivery.offset);
        self.writer.note(move |world| {
            world.changes.committed.insert(group, offset);
        });
        Ok(())
    }
}

impl Reader {
    async fn read_disk(&self, limit: usize) -> Result<(Vec<Entry>, u64), LogError> {
        let (tail, topics, position) = (self.tail.clone(), self.topics.clone(), self.position);
        on_disk(move || Journal::reader(&tail.directory)?.entries_after(position, limit, &topics)).await
    }
}

fn deliver(entry: Entry) -> Delivery {
    let place = Place { partition: 0, offset: entry.offset };
    Delivery { record: entry.record, place, offset: entry.offset }
}

pub(super) async fn on_disk<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, super::OpenError> + Send + 'static,
) -> Result<T, LogError> {
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| LogError::Unavailable(error.to_string()))?
        .map_err(|error| LogError::Unavailable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use kernel::event::{Event, RoomFact};
    use kernel::words::{EndReason, Ranges, Timestamp};

    use super::*;

    fn entry(offset: u64) -> Entry {
        let room = RoomId::parse("demo").unwrap();
        let at = Timestamp::from_millis(0);
        let fact = RoomFact::WaitingTokensDeparted { ranges: Ranges::one(offset), reason: EndReason::Left };
        let event = Event::Room(RoomEvent { room: room.clone(), seq: offset, at, fact });
        Entry {
            offset,
            record: Arc::new(Record { id: offset.to_string(), room, at, traceparent: None, event }),
        }
    }

    #[test]
    fn what_got_on_disk_by_a_commit_that_was_told_as_failed_is_read_from_there() {
        let tail = Tail::new(PathBuf::new(), 0);
        let topics = [Topic::WaitingTokens];
        tail.show((1..=3).map(entry).collect(), &HashMap::new());
        tail.restart(3);
        assert_eq!(tail.after(1, 9, &topics).map(|(found, seen)| (found.len(), seen)), Some((2, 3)));
        // 4 to 6 were written, and nobody was told.
        tail.restart(6);
        tail.show(vec![entry(7)], &HashMap::new());
        assert!(tail.after(3, 9, &topics).is_none(), "only the disk knows what came after 3");
        assert_eq!(tail.after(6, 9, &topics).map(|(found, seen)| (found.len(), seen)), Some((1, 7)));
    }
}
