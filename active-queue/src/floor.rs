//! The floor: one desk a room, opened when the room is heard of and closed when it is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::event::{Event, Record, RoomFact};
use kernel::words::RoomId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::desk::Desk;
use crate::{Config, Ports};

/// How often rooms are looked for that no event told of.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// The bell of each room's desk.
type Desks = Arc<Mutex<HashMap<RoomId, Arc<Notify>>>>;

#[derive(Clone)]
pub(crate) struct Floor {
    config: Config,
    ports: Ports,
    desks: Desks,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Floor {
    pub fn new(config: Config, ports: Ports, stop: CancellationToken) -> Self {
        Self { config, ports, desks: Arc::default(), tasks: TaskTracker::new(), stop }
    }

    /// Wakes the room of an event after which somebody might be called.
    pub fn hear(&self, record: &Record) {
        let Event::Room(event) = &record.event else { return };
        match &event.fact {
            RoomFact::RoomConfigured { .. }
            | RoomFact::RoomRebuilt { .. }
            | RoomFact::RoomStateChanged { .. }
            | RoomFact::WaitingTokensIssued { .. }
            | RoomFact::WaitingTokensReinstated { .. }
            | RoomFact::ActiveTokenReleased { .. } => self.wake(&event.room),
            RoomFact::WaitingTokensDeparted { .. }
            | RoomFact::ActiveTokensIssued { .. }
            | RoomFact::ActiveTokenClaimed { .. }
            | RoomFact::ActiveTokenRenewed { .. }
            | RoomFact::RoomProgressed { .. } => {}
        }
    }

    /// Has the room looked at now.
    pub fn wake(&self, room: &RoomId) {
        self.desk(room).notify_one();
    }

    /// Opens desks for rooms that no event told of, until stopped.
    pub async fn keep_known(&self) {
        loop {
            match self.ports.registry.all().await {
                Ok(rooms) => rooms.iter().for_each(|record| {
                    self.desk(&record.birth.room);
                }),
                Err(error) => tracing::warn!(%error, "the rooms cannot be listed; trying again"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_AROUND) => {}
            }
        }
    }

    /// Waits until every desk has put down its work.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn desk(&self, room: &RoomId) -> Arc<Notify> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = desks.get(room) {
            return bell.clone();
        }
        let bell = Arc::new(Notify::new());
        desks.insert(room.clone(), bell.clone());
        drop(desks);
        let desk = Desk::new(room.clone(), self.config.clone(), self.ports.clone(), bell.clone());
        let (stop, place) = (self.stop.clone(), Place { desks: self.desks.clone(), room: room.clone() });
        self.tasks.spawn(async move {
            let _place = place;
            desk.run(stop).await;
        });
        bell
    }
}

/// A desk's place on the floor. It comes free however the desk ends, a panic included: then the next look
/// around opens it anew.
struct Place {
    desks: Desks,
    room: RoomId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.room);
    }
}
