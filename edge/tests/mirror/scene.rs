//! A room of the embedded store, followed by mirrors through a log as unruly as the test wishes.

use std::sync::Arc;
use std::time::Duration;

use backend::embedded::{Embedded, Options};
use edge::mirror::{Mirror, Mirrors};
use kernel::contract::T0;
use kernel::contract::faulty::Faulty;
use kernel::policy::Policy;
use kernel::ports::RoomStore;
use kernel::room::Join;
use kernel::words::{LaneName, RoomId};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::unruly::Unruly;

/// No test goes on for so long.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Scene {
    pub store: Embedded,
    /// The store as the mirrors have it.
    pub faulty: Arc<Faulty>,
    /// The log as the mirrors have it.
    pub unruly: Unruly,
    pub mirrors: Arc<Mirrors>,
    pub room: RoomId,
    _stop: DropGuard,
    _directory: tempfile::TempDir,
}

impl Scene {
    pub async fn with(policy: Policy) -> Self {
        Self::patient(policy, Duration::from_millis(50)).await
    }

    /// `patience`: how long the mirrors wait for an event that is missing.
    pub async fn patient(policy: Policy, patience: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
        let room = RoomId::parse("demo").unwrap();
        store.configure(&room, &policy, None, T0).await.unwrap();
        let (faulty, unruly) = (Faulty::over(Arc::new(store.clone())), Unruly::over(store.clone()));
        let mirrors = Mirrors::with_patience(patience, "node", faulty.clone(), Arc::new(unruly.clone()));
        let stop = CancellationToken::new();
        tokio::spawn(mirrors.clone().run(stop.clone()));
        Self { store, faulty, unruly, mirrors, room, _stop: stop.drop_guard(), _directory: directory }
    }

    pub async fn version(&self) -> u64 {
        self.store.summary(&self.room).await.unwrap().version
    }

    pub async fn join(&self, count: usize) {
        join(&self.store, &self.room, count).await;
    }

    pub async fn caught_up(&self, mirror: &Mirror) {
        let version = self.version().await;
        let reached = tokio::time::timeout(LONG / 2, mirror.reached(version)).await;
        reached.expect("the mirror never caught up");
        let truth = self.store.snapshot(&self.room).await.unwrap();
        assert!(mirror.read(|state| *state == truth).unwrap(), "the mirror differs from the store");
    }
}

pub async fn join(store: &dyn RoomStore, room: &RoomId, count: usize) {
    let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
    store.join(room, vec![one; count], T0).await.unwrap();
}
