//! Rooms as a node follows them: a copy, then event by event from the tail of the log. One consumer serves
//! all rooms of a node. The topics of a room come in no order to each other, so an event may wait some
//! milliseconds for its turn; a room is copied from the store anew only when events are lost.

mod level;
mod room;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kernel::event::Topic;
use kernel::ports::{EventLog, LogError, RoomStore, StartAt, StoreError, Subscription};
use kernel::words::RoomId;
use tokio_util::sync::CancellationToken;

pub use level::Level;
pub use room::{Followed, Mirror};

/// Records taken at once.
const BATCH: usize = 256;
/// How long an event is waited for that later ones have overtaken. Between partitions of one log
/// milliseconds are usual; a broker that changes its leader may take longer, and then a copy does no harm.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between looks at who waits in vain.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All rooms that a node follows.
pub struct Mirrors {
    group: String,
    store: Arc<dyn RoomStore>,
    log: Arc<dyn EventLog>,
    patience: Duration,
    rooms: RwLock<HashMap<RoomId, Arc<Mirror>>>,
}

impl Mirrors {
    /// `group` names this node's place in the log; nothing is committed under it.
    pub fn new(group: &str, store: Arc<dyn RoomStore>, log: Arc<dyn EventLog>) -> Arc<Self> {
        Self::with_patience(PATIENCE, group, store, log)
    }

    /// `patience`: how long an event that later ones have overtaken is waited for.
    pub fn with_patience(
        patience: Duration,
        group: &str,
        store: Arc<dyn RoomStore>,
        log: Arc<dyn EventLog>,
    ) -> Arc<Self> {
        Arc::new(Self { group: group.to_owned(), store, log, patience, rooms: RwLock::default() })
    }

    /// The room's mirror, filled; the first asker pays for the copy.
    pub async fn follow(&self, room: &RoomId) -> Result<Arc<Mirror>, StoreError> {
        loop {
            let mirror = self.known(room).unwrap_or_else(|| self.begin(room));
            if mirror.is_filled() {
                return Ok(mirror);
            }
            if let Err(error) = mirror.fill(self.store.as_ref()).await {
                self.forget_empty(room);
                return Err(error);
            }
            // Another asker's store may have failed meanwhile, and the mirror with it: nobody would keep it.
            if self.known(room).is_some_and(|known| Arc::ptr_eq(&known, &mirror)) {
                return Ok(mirror);
            }
        }
    }

    /// Follows no more; who still holds the mirror keeps its last state.
    pub fn forget(&self, room: &RoomId) {
        self.write().remove(room);
    }

    /// Keeps every mirror up to date until stopped. While the log is away the mirrors stand still.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            let Err(error) = self.follow_log(&stop, &mut pause).await else { return };
            tracing::warn!(group = self.group, %error, "the event log fails; the rooms stand still here until it answers");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    async fn follow_log(
        self: &Arc<Self>,
        stop: &CancellationToken,
        pause: &mut Duration,
    ) -> Result<(), LogError> {
        let topics = Topic::OF_ROOMS.to_vec();
        let subscription = Subscription { group: self.group.clone(), topics, start: StartAt::Tail };
        let mut consumer = self.log.subscribe(subscription).await?;
        // What happened before the subscription was in force is only in the store.
        self.all().iter().for_each(|mirror| self.copy_anew(mirror, stop));
        let mut look = tokio::time::interval((self.patience / 4).max(SHORTEST_LOOK));
        loop {
            let deliveries = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = look.tick() => {
                    self.lose_patience(stop);
                    continue;
                }
                deliveries = consumer.next(BATCH) => deliveries?,
            };
            *pause = PAUSE;
            for delivery in deliveries {
                let Some(mirror) = self.known(&delivery.record.room) else { continue };
                if mirror.offer(&delivery.record) {
                    tracing::info!(room = %mirror.room(), "events of the room are too far ahead here; copying it anew");
                    self.copy_anew(&mirror, stop);
                }
            }
        }
    }

    fn lose_patience(self: &Arc<Self>, stop: &CancellationToken) {
        for mirror in self.all().iter().filter(|mirror| mirror.has_waited(self.patience)) {
            tracing::warn!(room = %mirror.room(), version = mirror.version(), "the room's next event did not come here; copying the room anew");
            self.copy_anew(mirror, stop);
        }
    }

    fn copy_anew(self: &Arc<Self>, mirror: &Arc<Mirror>, stop: &CancellationToken) {
        mirror.distrust();
        metrics::counter!("turnline_rooms_copied_anew_total", "group" => self.group.clone()).increment(1);
        let (mirrors, mirror, stop) = (self.clone(), mirror.clone(), stop.clone());
        tokio::spawn(async move {
            let mut pause = PAUSE;
            while let Err(error) = mirror.fill(mirrors.store.as_ref()).await {
                if error == StoreError::UnknownRoom {
                    return mirrors.forget(mirror.room());
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        });
    }

    fn all(&self) -> Vec<Arc<Mirror>> {
        self.read().values().cloned().collect()
    }

    fn known(&self, room: &RoomId) -> Option<Arc<Mirror>> {
        self.read().get(room).cloned()
    }

    fn begin(&self, room: &RoomId) -> Arc<Mirror> {
        self.write().entry(room.clone()).or_insert_with(|| Arc::new(Mirror::new(room.clone()))).clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<RoomId, Arc<Mirror>>> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<RoomId, Arc<Mirror>>> {
        self.rooms.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_empty(&self, room: &RoomId) {
        let mut rooms = self.write();
        if rooms.get(room).is_some_and(|mirror| !mirror.is_filled()) {
            rooms.remove(room);
        }
    }
}
