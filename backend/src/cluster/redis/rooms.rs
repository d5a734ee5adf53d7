//! The desks of a process, and the verbs of rooms by way of them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use kernel::ports::StoreError;
use kernel::room::Room;
use kernel::words::RoomId;
use tokio::sync::mpsc;

use super::desk::Desk;
use super::job::{Answered, Job, PATIENCE};
use super::parts::Parts;

/// A desk may be at work for longer than its callers' patience: with a rebuild, or with those before.
const WAIT: Duration = PATIENCE.saturating_add(Duration::from_secs(2));

pub(super) struct Rooms {
    pub parts: Arc<Parts>,
    desks: DashMap<RoomId, mpsc::UnboundedSender<Job>>,
    /// Desks outlive nobody who may come to them.
    own: Weak<Self>,
}

impl Rooms {
    pub fn new(parts: Arc<Parts>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self { parts, desks: DashMap::new(), own: own.clone() })
    }

    pub async fn act<T: Send + 'static>(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(room, Job::act(act)).await
    }

    pub async fn act_or_make(
        &self,
        room: &RoomId,
        act: impl FnMut(&mut Room) + Send + 'static,
        make: impl FnMut() -> Room + Send + 'static,
    ) -> Result<(), StoreError> {
        self.ask(room, Job::act_or_make(act, make)).await
    }

    /// Takes the job to the room's desk and waits for what becomes of it.
    pub async fn ask<T>(&self, room: &RoomId, (job, answered): (Job, Answered<T>)) -> Result<T, StoreError> {
        self.send(room, job);
        heard(answered).await
    }

    fn send(&self, room: &RoomId, mut job: Job) {
        loop {
            let desk = self.desks.get(room).map(|desk| desk.clone());
            job = match desk.unwrap_or_else(|| self.open_desk(room)).send(job) {
                Ok(()) => return,
                // It was closing just now.
                Err(back) => back.0,
            };
            self.desks.remove_if(room, |_, desk| desk.is_closed());
        }
    }

    fn open_desk(&self, room: &RoomId) -> mpsc::UnboundedSender<Job> {
        let vacant = match self.desks.entry(room.clone()) {
            Entry::Occupied(desk) => return desk.get().clone(),
            Entry::Vacant(vacant) => vacant,
        };
        let (sender, jobs) = mpsc::unbounded_channel();
        let desk = Desk::new(self.parts.clone(), room.clone());
        let (rooms, room) = (self.own.clone(), room.clone());
        tokio::spawn(async move {
            desk.work(jobs).await;
            if let Some(rooms) = rooms.upgrade() {
                rooms.parts.forget(&room);
                rooms.desks.remove_if(&room, |_, desk| desk.is_closed());
            }
        });
        vacant.insert(sender.clone());
        sender
    }
}

async fn heard<T>(answered: Answered<T>) -> Result<T, StoreError> {
    let silent = |why: &str| StoreError::Unavailable(why.to_owned());
    match tokio::time::timeout(WAIT, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(silent("the store is closing")),
        Err(_) => Err(silent("the room's store was busy for too long")),
    }
}
