//! The end of tokens: who was called and did not come, whose time is over, who went away while waiting.

mod sessions;
mod watch;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge::mirror::Mirrors;
use kernel::ports::{Clock, EventLog, Presence, Registry, RoomStore};
use kernel::words::RoomId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;

use crate::watch::Watch;

/// Rooms are followed from the tail of the log: nothing is committed under this name.
const GROUP: &str = "expiration";
/// How often rooms are looked for that are not watched yet.
const LOOK_AROUND: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How often each room is swept.
    pub tick: Duration,
    /// Added to every grace: what presence may lag behind a visitor who is back. Nobody is ended early.
    pub lag: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { tick: Duration::from_secs(1), lag: Duration::from_secs(2) }
    }
}

/// What the sweeps ask of the world.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn RoomStore>,
    pub registry: Arc<dyn Registry>,
    pub log: Arc<dyn EventLog>,
    pub presence: Arc<dyn Presence>,
    pub clock: Arc<dyn Clock>,
}

pub struct Expiration {
    config: Config,
    ports: Ports,
}

impl Expiration {
    pub fn new(config: Config, ports: Ports) -> Self {
        Self { config, ports }
    }

    /// Nothing is asked of this service over HTTP beyond health and figures.
    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }

    /// Sweeps until stopped; a store, log or presence that fails is asked again.
    pub async fn run(self, stop: CancellationToken) {
        let mirrors = Mirrors::new(GROUP, self.ports.store.clone(), self.ports.log.clone());
        let watches = TaskTracker::new();
        tokio::join!(mirrors.clone().run(stop.clone()), self.watch_all(&mirrors, &watches, &stop));
        watches.close();
        watches.wait().await;
    }

    /// One watch a room, begun when the room is found.
    async fn watch_all(&self, mirrors: &Arc<Mirrors>, watches: &TaskTracker, stop: &CancellationToken) {
        let watched: Arc<Mutex<HashSet<RoomId>>> = Arc::default();
        loop {
            match self.ports.registry.all().await {
                Ok(rooms) => {
                    for record in rooms {
                        let room = record.birth.room;
                        if !watched.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone()) {
                            continue;
                        }
                        let watch =
                            Watch::new(room.clone(), self.config, self.ports.clone(), mirrors.clone());
                        let (post, stop) = (Post { watched: watched.clone(), room }, stop.clone());
                        watches.spawn(async move {
                            let _post = post;
                            watch.run(stop).await;
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "the rooms cannot be listed; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_AROUND) => {}
            }
        }
    }
}

/// A watch's post. It is vacant however the watch ends, a panic included: then the next look around begins
/// another.
struct Post {
    watched: Arc<Mutex<HashSet<RoomId>>>,
    room: RoomId,
}

impl Drop for Post {
    fn drop(&mut self) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.room);
    }
}
