//! The relay of one room: reads on from what the log has, publishes it in order, and notes how far it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel::event::Record;
use kernel::ports::StoreError;
use kernel::words::{RoomId, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::redis::checkpoint::due;
use crate::cluster::redis::keys::RoomKeys;
use crate::cluster::redis::rooms::Rooms;
use crate::cluster::redis::scripts::Progress;

/// Events published at once at most, and about how many bytes.
const EVENTS: usize = 1_000;
const BYTES: usize = 4 << 20;
/// A room is looked at this often although nothing was told of it.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How far the log is behind, as far as this process knows.
#[derive(Default)]
pub(super) struct Lag {
    pub events: AtomicU64,
    /// When the first event happened that is not in the log; 0 when there is none.
    since_ms: AtomicU64,
}

impl Lag {
    pub fn seconds(&self, now: Timestamp) -> f64 {
        match self.since_ms.load(Ordering::Relaxed) {
            0 => 0.0,
            since => now.as_millis().saturating_sub(since) as f64 / 1_000.0,
        }
    }

    fn behind(&self, events: u64, since: Timestamp) {
        self.events.store(events, Ordering::Relaxed);
        self.since_ms.store(since.as_millis(), Ordering::Relaxed);
    }
}

pub(super) struct RoomRelay {
    rooms: Arc<Rooms>,
    room: RoomId,
    keys: RoomKeys,
    wake: Arc<Notify>,
    lag: Arc<Lag>,
    /// The log has everything up to here.
    through: Option<u64>,
    /// How many events make [`BYTES`], by the last ones.
    limit: usize,
    checkpointing: Option<JoinHandle<()>>,
}

impl RoomRelay {
    pub fn new(rooms: Arc<Rooms>, room: RoomId, wake: Arc<Notify>, lag: Arc<Lag>) -> Self {
        let keys = rooms.parts.aside.space.room(&room);
        Self { rooms, room, keys, wake, lag, through: None, limit: EVENTS, checkpointing: None }
    }

    /// Until stopped. Stopping in the middle may publish events again.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.relay()).await;
    }

    async fn relay(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.publish_next().await {
                Ok(true) => pause = FIRST_PAUSE,
                Ok(false) => {
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = sleep(LOOK) => self.look_again().await,
                    }
                }
                Err(why) => {
                    if pause == FIRST_PAUSE {
                        tracing::warn!(room = %self.room, %why, "events cannot be relayed now; they wait in Redis");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.look_again().await;
                }
            }
        }
    }

    /// Publishes the next events, if there are any; false when there are no more for now.
    async fn publish_next(&mut self) -> Result<bool, StoreError> {
        let through = match self.through {
            Some(through) => through,
            None => match self.look().await? {
                Some(through) => through,
                None => return Ok(false),
            },
        };
        let scripts = &self.rooms.parts.aside;
        let entries = scripts.entries(&self.keys, through, self.limit).await?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            self.lag.behind(0, Timestamp::from_millis(0));
            return Ok(false);
        };
        let (since, last, count) = (first.event.at, last.event.seq, entries.len());
        self.lag.behind(self.lag.events.load(Ordering::Relaxed).max(count as u64), since);
        let bytes: usize = entries.iter().map(|entry| entry.bytes).sum();
        self.limit = (BYTES * count / bytes.max(1)).clamp(1, EVENTS);
        let records: Vec<Record> = entries.into_iter().map(|entry| entry.event.into()).collect();
        let published = self.rooms.parts.log.publish(records).await;
        published.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.through = Some(last);
        self.rooms.parts.furthest(&self.room).fetch_max(last, Ordering::AcqRel);
        metrics::counter!("turnline_relayed_total").increment(count as u64);
        let progress = self.rooms.parts.aside.relayed(&self.keys, last).await?;
        Ok(self.note(progress).await.is_some_and(|progress| progress.seq > last))
    }

    /// Where the room stands, also while nothing can be published.
    async fn look_again(&mut self) {
        if let Err(error) = self.look().await {
            tracing::debug!(room = %self.room, %error, "a room cannot be looked at");
        }
    }

    async fn look(&mut self) -> Result<Option<u64>, StoreError> {
        let progress = self.rooms.parts.aside.relayed(&self.keys, 0).await?;
        Ok(self.note(progress).await.and(self.through))
    }

    /// Takes note of where the room stands; nothing when Redis does not have it as it should be.
    async fn note(&mut self, progress: Option<Progress>) -> Option<Progress> {
        let through = self.through.unwrap_or(0);
        let whole = progress.filter(|progress| progress.relayed >= through);
        let Some(progress) = whole else {
            self.through = None;
            // Whoever opens the room's desk sees what is missing, and makes it anew from the log.
            match self.rooms.act(&self.room, |_| ()).await {
                Ok(()) | Err(StoreError::UnknownRoom) => {}
                Err(error) => {
                    tracing::debug!(room = %self.room, %error, "a room that Redis lost is not there yet")
                }
            }
            return None;
        };
        self.through = Some(progress.relayed);
        let behind = (progress.seq - progress.relayed).min(progress.kept);
        self.lag.events.store(behind, Ordering::Relaxed);
        let busy = self.checkpointing.as_ref().is_some_and(|task| !task.is_finished());
        if due(&progress) && !busy {
            let (rooms, room) = (self.rooms.clone(), self.room.clone());
            self.checkpointing = Some(tokio::spawn(async move {
                if let Err(error) = rooms.checkpoint(&room).await {
                    tracing::warn!(%room, %error, "a room could not be written down; its events are kept");
                }
            }));
        }
        Some(progress)
    }
}
