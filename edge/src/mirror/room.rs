//! One room as a node follows it: a copy from the store, then every event in its turn, once. An event that
//! comes ahead of its turn waits for the ones before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use kernel::event::{Event, Record, RoomEvent};
use kernel::ports::{RoomStore, StoreError};
use kernel::room::{Fold, RoomState};
use kernel::words::RoomId;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::level::Looks;

/// Events a listener may lag behind before it is told to look at everything anew.
const LISTENER_LAG: usize = 4096;
/// Events that wait for their turn, or for a copy of the room; of more than these the earliest go, which
/// only a copy can make good.
const AHEAD_MAX: usize = 16_384;
/// An event so far ahead has no others on their way before it: a rebuild let the room's `seq` jump.
const JUMP: u64 = 1_000_000;

/// One room as a node sees it, some milliseconds behind the store.
pub struct Mirror {
    room: RoomId,
    state: RwLock<Option<RoomState>>,
    following: Mutex<Following>,
    /// The version of `state`; 0 before the first copy.
    version: watch::Sender<u64>,
    followed: broadcast::Sender<Followed>,
    copying: tokio::sync::Mutex<()>,
    pub(super) looks: Looks,
}

/// What a listener of a room hears.
#[derive(Debug, Clone)]
pub enum Followed {
    /// This event was applied just now.
    Event(Arc<Record>),
    /// The room was copied anew: anything may have changed.
    Anew,
}

/// How a mirror stands to the events that come.
struct Following {
    /// Copies asked for so far. While one is owed, the state cannot be gone on from: all events wait.
    asked: u64,
    copied: u64,
    /// Events that wait, by their `seq`.
    ahead: BTreeMap<u64, Arc<Record>>,
    /// Since when the next event has been missing, while later ones wait for it.
    missing_since: Option<Instant>,
}

impl Following {
    fn owes_copy(&self) -> bool {
        self.copied < self.asked
    }

    fn keep(&mut self, seq: u64, record: &Arc<Record>) {
        self.ahead.insert(seq, record.clone());
        if self.ahead.len() > AHEAD_MAX {
            self.ahead.pop_first();
        }
    }

    fn note_missing(&mut self) {
        self.missing_since = (!self.ahead.is_empty()).then(Instant::now);
    }
}

impl Mirror {
    pub(super) fn new(room: RoomId) -> Self {
        let following = Following { asked: 1, copied: 0, ahead: BTreeMap::new(), missing_since: None };
        Self {
            room,
            state: RwLock::new(None),
            following: Mutex::new(following),
            version: watch::Sender::new(0),
            followed: broadcast::Sender::new(LISTENER_LAG),
            copying: tokio::sync::Mutex::default(),
            looks: Looks::default(),
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

    pub(super) fn is_filled(&self) -> bool {
        self.state().is_some()
    }

    /// Applies an event, and those that waited for it; or keeps it for its turn. True when waiting would
    /// help no more: the room has to be copied anew.
    pub(super) fn offer(&self, record: &Arc<Record>) -> bool {
        let Event::Room(event) = &record.event else { return false };
        let mut following = self.following();
        if following.owes_copy() {
            following.keep(event.seq, record);
            return false;
        }
        let here = self.version();
        if event.seq <= here {
            return false;
        }
        if event.seq > here + 1 {
            following.keep(event.seq, record);
            following.missing_since.get_or_insert_with(Instant::now);
            return following.ahead.len() == AHEAD_MAX || event.seq - here >= JUMP;
        }
        self.apply(event, record);
        while let Some(waited) = following.ahead.remove(&(self.version() + 1)) {
            let Event::Room(event) = &waited.event else { continue };
            self.apply(event, &waited);
        }
        following.note_missing();
        false
    }

    /// Whether events have waited in vain for one before them.
    pub(super) fn has_waited(&self, patience: Duration) -> bool {
        let following = self.following();
        !following.owes_copy() && following.missing_since.is_some_and(|since| since.elapsed() >= patience)
    }

    /// From now on only another copy of the room will do.
    pub(super) fn distrust(&self) {
        self.following().asked += 1;
    }

    /// Copies the room from the store, once for all who ask at the same time.
    pub(super) async fn fill(&self, store: &dyn RoomStore) -> Result<(), StoreError> {
        let _turn = self.copying.lock().await;
        while let Some(asked) = self.copy_owed() {
            let copy = store.snapshot(&self.room).await?;
            self.install(copy, asked);
        }
        Ok(())
    }

    fn apply(&self, event: &RoomEvent, record: &Arc<Record>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state.as_mut() else { return };
        if state.apply(event) == Fold::Applied {
            self.version.send_replace(state.seq);
            // Nobody need listen.
            let _ = self.followed.send(Followed::Event(record.clone()));
        }
    }

    fn copy_owed(&self) -> Option<u64> {
        let following = self.following();
        following.owes_copy().then_some(following.asked)
    }

    /// Goes on from a copy that was taken after `asked` copies had been asked for.
    fn install(&self, mut copy: RoomState, asked: u64) {
        let mut following = self.following();
        following.ahead = following.ahead.split_off(&(copy.seq + 1));
        while let Some(waited) = following.ahead.remove(&(copy.seq + 1)) {
            let Event::Room(event) = &waited.event else { continue };
            copy.apply(event);
        }
        following.copied = asked;
        following.note_missing();
        let version = copy.seq;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        self.version.send_replace(version);
        let _ = self.followed.send(Followed::Anew);
    }

    fn following(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> RwLockReadGuard<'_, Option<RoomState>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}
