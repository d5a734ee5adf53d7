//! A world for the tests of services: the contract's reference store, a log in memory that delivers twice
//! now and then, and a clock that runs with tokio's, so that a test may stop and move time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use kernel::contract::reference::Reference;
use kernel::event::{Event, Record, RoomEvent, Topic};
use kernel::ports::{
    Clock, Consumer, Delivery, EventLog, LogError, Registry, RoomRecord, StartAt, StoreError, Subscription,
};
use kernel::words::{RoomId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// Every so many deliveries the one before comes again.
const TWICE_EVERY: u64 = 3;

/// Everything a service asks for but presence.
pub struct World {
    pub store: Arc<Reference>,
    pub log: Arc<Log>,
    pub registry: Arc<Rooms>,
    pub clock: Arc<TokioClock>,
}

impl World {
    pub fn new() -> Self {
        let log = Arc::new(Log::default());
        let outbox = log.clone();
        let store = Reference::new(Box::new(move |events| {
            events.into_iter().for_each(|event| outbox.append(record_of(event)));
        }));
        Self { store, log, registry: Arc::default(), clock: Arc::new(TokioClock::new()) }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

fn record_of(event: RoomEvent) -> Record {
    Record {
        id: format!("{}.{}", event.room, event.seq),
        room: event.room.clone(),
        at: event.at,
        traceparent: None,
        event: Event::Room(event),
    }
}

/// A log in memory. Appending wakes all who wait.
pub struct Log {
    records: Mutex<Vec<Arc<Record>>>,
    committed: Mutex<HashMap<String, usize>>,
    length: watch::Sender<usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self { records: Mutex::default(), committed: Mutex::default(), length: watch::Sender::new(0) }
    }
}

impl Log {
    pub fn append(&self, record: Record) {
        let mut records = locked(&self.records);
        records.push(Arc::new(record));
        self.length.send_replace(records.len());
    }

    /// What happened in a room so far, in order.
    pub fn events(&self, room: &RoomId) -> Vec<RoomEvent> {
        let of_room = |record: &Arc<Record>| match &record.event {
            Event::Room(event) if event.room == *room => Some(event.clone()),
            Event::Room(_) | Event::Payment(_) | Event::Cancellation(_) | Event::Reply(_) => None,
        };
        locked(&self.records).iter().filter_map(of_room).collect()
    }

    /// Waits until what happened in a room satisfies `enough`, and answers it.
    pub async fn until(&self, room: &RoomId, enough: impl Fn(&[RoomEvent]) -> bool) -> Vec<RoomEvent> {
        let mut length = self.length.subscribe();
        loop {
            length.borrow_and_update();
            let events = self.events(room);
            if enough(&events) {
                return events;
            }
            // The sender lives as long as `self`.
            let _ = length.changed().await;
        }
    }
}

/// The log as a port: a consumer outlives the borrow of its log.
pub struct LogPort(pub Arc<Log>);

#[async_trait]
impl EventLog for LogPort {
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        records.into_iter().for_each(|record| self.0.append(record));
        Ok(())
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        let length = self.0.length.subscribe();
        let position = match subscription.start {
            StartAt::Tail => *length.borrow(),
            StartAt::Committed => locked(&self.0.committed).get(&subscription.group).copied().unwrap_or(0),
        };
        let (group, topics) = (subscription.group, subscription.topics);
        Ok(Box::new(Reader {
            log: self.0.clone(),
            group,
            topics,
            position,
            length,
            batches: 0,
            last: Vec::new(),
        }))
    }
}

struct Reader {
    log: Arc<Log>,
    group: String,
    topics: Vec<Topic>,
    position: usize,
    length: watch::Receiver<usize>,
    batches: u64,
    last: Vec<Delivery>,
}

#[async_trait]
impl Consumer for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, LogError> {
        self.batches += 1;
        if self.batches.is_multiple_of(TWICE_EVERY) && !self.last.is_empty() {
            return Ok(std::mem::take(&mut self.last));
        }
        loop {
            self.length.borrow_and_update();
            let wanted = |record: &Record| self.topics.contains(&record.event.topic());
            let mut batch = Vec::new();
            for record in locked(&self.log.records).iter().skip(self.position) {
                if batch.len() == limit {
                    break;
                }
                self.position += 1;
                if wanted(record) {
                    batch.push(Delivery { record: record.clone(), offset: self.position as u64 });
                }
            }
            if !batch.is_empty() {
                self.last.clone_from(&batch);
                return Ok(batch);
            }
            let ended = |_| LogError::Unavailable("the log is gone".to_owned());
            self.length.changed().await.map_err(ended)?;
        }
    }

    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError> {
        let mut committed = locked(&self.log.committed);
        committed.insert(self.group.clone(), usize::try_from(delivery.offset).unwrap_or(usize::MAX));
        Ok(())
    }
}

/// The registry in memory.
#[derive(Default)]
pub struct Rooms(Mutex<HashMap<RoomId, RoomRecord>>);

#[async_trait]
impl Registry for Rooms {
    async fn save(&self, record: &RoomRecord) -> Result<(), StoreError> {
        locked(&self.0).insert(record.birth.room.clone(), record.clone());
        Ok(())
    }

    async fn load(&self, room: &RoomId) -> Result<Option<RoomRecord>, StoreError> {
        Ok(locked(&self.0).get(room).cloned())
    }

    async fn all(&self) -> Result<Vec<RoomRecord>, StoreError> {
        Ok(locked(&self.0).values().cloned().collect())
    }
}

/// Runs with tokio's time, from a fixed start.
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = self.start.elapsed().as_millis();
        Self::START.plus_millis(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
