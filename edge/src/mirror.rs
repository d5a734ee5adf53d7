//! Rooms as a node follows them: a snapshot, then event by event from the tail of the log. One consumer
//! serves all rooms of a node; after a gap, or when the log was away, a room is copied from the store again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use kernel::event::{Event, Record, RoomEvent, Topic};
use kernel::ports::{EventLog, LogError, RoomStore, StartAt, StoreError, Subscription};
use kernel::room::{Fold, RoomState};
use kernel::words::RoomId;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

/// Records taken at once.
const BATCH: usize = 256;
/// Events a listener may lag behind before it is told to look at everything anew.
const LISTENER_LAG: usize = 4096;
/// Events kept while a snapshot is on its way; beyond this the snapshot is taken again.
const PENDING_MAX: usize = 65_536;
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All rooms that a node follows.
pub struct Mirrors {
    group: String,
    store: Arc<dyn RoomStore>,
    log: Arc<dyn EventLog>,
    rooms: Mutex<HashMap<RoomId, Arc<Mirror>>>,
}

/// One room as a node sees it, some milliseconds behind the store.
pub struct Mirror {
    room: RoomId,
    state: RwLock<Option<RoomState>>,
    filling: Mutex<Filling>,
    /// The version of `state`; 0 before the first snapshot.
    version: watch::Sender<u64>,
    followed: broadcast::Sender<Followed>,
    copying: tokio::sync::Mutex<()>,
}

/// What a listener of a room hears.
#[derive(Debug, Clone)]
pub enum Followed {
    /// This event was applied just now.
    Event(Arc<Record>),
    /// The room was copied anew: anything may have changed.
    Anew,
}

/// A snapshot that is on its way, and what happened since it was asked for.
#[derive(Default)]
struct Filling {
    /// The state cannot be trusted to go on from: events wait here for the snapshot.
    needed: bool,
    pending: Vec<Arc<Record>>,
    overflowed: bool,
}

impl Mirrors {
    /// `group` names this node's place in the log; nothing is committed under it.
    pub fn new(group: &str, store: Arc<dyn RoomStore>, log: Arc<dyn EventLog>) -> Arc<Self> {
        Arc::new(Self { group: group.to_owned(), store, log, rooms: Mutex::default() })
    }

    /// The room's mirror, filled; the first asker pays for the snapshot.
    pub async fn follow(&self, room: &RoomId) -> Result<Arc<Mirror>, StoreError> {
        loop {
            let mirror = {
                let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
                rooms.entry(room.clone()).or_insert_with(|| Arc::new(Mirror::new(room.clone()))).clone()
            };
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
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
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
        loop {
            let deliveries = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                deliveries = consumer.next(BATCH) => deliveries?,
            };
            *pause = PAUSE;
            for delivery in deliveries {
                let Some(mirror) = self.known(&delivery.record.room) else { continue };
                if mirror.offer(&delivery.record) == Fold::Gap {
                    tracing::info!(room = %mirror.room, "events of the room are missing here; copying it anew");
                    self.copy_anew(&mirror, stop);
                }
            }
        }
    }

    fn copy_anew(self: &Arc<Self>, mirror: &Arc<Mirror>, stop: &CancellationToken) {
        mirror.distrust();
        let (mirrors, mirror, stop) = (self.clone(), mirror.clone(), stop.clone());
        tokio::spawn(async move {
            let mut pause = PAUSE;
            while let Err(error) = mirror.fill(mirrors.store.as_ref()).await {
                if error == StoreError::UnknownRoom {
                    return mirrors.forget(&mirror.room);
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        });
    }

    fn all(&self) -> Vec<Arc<Mirror>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn known(&self, room: &RoomId) -> Option<Arc<Mirror>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).get(room).cloned()
    }

    fn forget_empty(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.get(room).is_some_and(|mirror| !mirror.is_filled()) {
            rooms.remove(room);
        }
    }
}

impl Mirror {
    fn new(room: RoomId) -> Self {
        Self {
            room,
            state: RwLock::new(None),
            filling: Mutex::new(Filling { needed: true, ..Filling::default() }),
            version: watch::Sender::new(0),
            followed: broadcast::Sender::new(LISTENER_LAG),
            copying: tokio::sync::Mutex::default(),
        }
    }

    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// Looks at the room. Keep it short: the room stands still for this node meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&RoomState) -> T) -> Option<T> {
        self.state().as_ref().map(look)
    }

    /// The room's version here.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Tells each change of the version; several may come as one.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Tells every event after it was applied. A listener that lags takes that as [`Followed::Anew`].
    pub fn listen(&self) -> broadcast::Receiver<Followed> {
        self.followed.subscribe()
    }

    /// Waits until this node has caught up with `version` of the store.
    pub async fn reached(&self, version: u64) {
        let mut versions = self.version.subscribe();
        // The sender lives as long as `self`.
        let _ = versions.wait_for(|here| *here >= version).await;
    }

    fn state(&self) -> RwLockReadGuard<'_, Option<RoomState>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_filled(&self) -> bool {
        self.state().is_some()
    }

    fn distrust(&self) {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner).needed = true;
    }

    /// Applies an event, or keeps it for the snapshot that is on its way.
    fn offer(&self, record: &Arc<Record>) -> Fold {
        let Event::Room(event) = &record.event else { return Fold::Old };
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if !filling.needed {
            match self.apply(event) {
                Fold::Applied => {
                    // Nobody need listen.
                    let _ = self.followed.send(Followed::Event(record.clone()));
                    return Fold::Applied;
                }
                Fold::Old => return Fold::Old,
                Fold::Gap => {
                    filling.needed = true;
                    filling.pending.push(record.clone());
                    return Fold::Gap;
                }
            }
        }
        if filling.pending.len() < PENDING_MAX {
            filling.pending.push(record.clone());
        } else {
            filling.overflowed = true;
        }
        Fold::Old
    }

    fn apply(&self, event: &RoomEvent) -> Fold {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state.as_mut() else { return Fold::Gap };
        let fold = state.apply(event);
        if fold == Fold::Applied {
            self.version.send_replace(state.seq);
        }
        fold
    }

    /// Copies the room from the store, once for all who ask at the same time.
    async fn fill(&self, store: &dyn RoomStore) -> Result<(), StoreError> {
        let _turn = self.copying.lock().await;
        while self.wants_copy() {
            let copy = store.snapshot(&self.room).await?;
            self.install(copy);
        }
        Ok(())
    }

    fn wants_copy(&self) -> bool {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if filling.overflowed {
            filling.pending.clear();
            filling.overflowed = false;
        }
        filling.needed
    }

    fn install(&self, mut copy: RoomState) {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if filling.overflowed {
            return;
        }
        for record in std::mem::take(&mut filling.pending) {
            let Event::Room(event) = &record.event else { continue };
            if copy.apply(event) == Fold::Gap {
                // The log itself lost something: only another snapshot can know.
                return;
            }
        }
        filling.needed = false;
        let version = copy.seq;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        self.version.send_replace(version);
        let _ = self.followed.send(Followed::Anew);
    }
}
