//! Extra visitors who join, a few a second, while the crowd waits and while it storms back: does the door
//! still answer?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clock;
use super::measured::{Kind, Measured};
use crate::simulate::chance::{Chance, random_key};
use crate::simulate::http::{Api, Call};
use crate::simulate::message::Joined;

const A_SECOND: u32 = 20;
const LEAVING_AT_ONCE: usize = 32;

/// What they met.
#[derive(Default)]
pub struct Met {
    pub measured: Measured,
    pub numbers: Vec<u64>,
    pub failures: BTreeMap<String, u64>,
    tickets: Vec<String>,
}

pub struct Trickle {
    api: Arc<Api>,
    met: Arc<Mutex<Met>>,
    storming: Arc<AtomicBool>,
    stop: CancellationToken,
    flow: tokio::task::JoinHandle<()>,
}

impl Trickle {
    pub fn start(api: Arc<Api>) -> Trickle {
        let (met, storming) = (Arc::new(Mutex::new(Met::default())), Arc::new(AtomicBool::new(false)));
        let stop = CancellationToken::new();
        let flow = tokio::spawn(flow(api.clone(), met.clone(), storming.clone(), stop.clone()));
        Trickle { api, met, storming, stop, flow }
    }

    /// From now on joins are counted as made in the storm, or as made in calm.
    pub fn storming(&self, now: bool) {
        self.storming.store(now, Ordering::Relaxed);
    }

    /// Stops, waits for those on their way, and sends everybody home.
    pub async fn end(self) -> Met {
        self.stop.cancel();
        // It ends by itself, or was interrupted together with everything else.
        let _ = self.flow.await;
        let met = std::mem::take(&mut *lock(&self.met));
        let api = &self.api;
        let leaving = stream::iter(&met.tickets).map(async |ticket| {
            api.once(&Call::delete(api.room_path("/tickets/me")).bearer(ticket)).await.is_ok()
        });
        leaving.buffer_unordered(LEAVING_AT_ONCE).collect::<Vec<bool>>().await;
        met
    }
}

async fn flow(api: Arc<Api>, met: Arc<Mutex<Met>>, storming: Arc<AtomicBool>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
    let mut joining = JoinSet::new();
    for index in 0.. {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.cancelled() => break,
        }
        let kind = match storming.load(Ordering::Relaxed) {
            true => Kind::ExtraJoinStorm,
            false => Kind::ExtraJoinCalm,
        };
        joining.spawn(join(api.clone(), met.clone(), kind, Chance::of_visitor(clock::now(), index)));
        while joining.try_join_next().is_some() {}
    }
    joining.join_all().await;
}

async fn join(api: Arc<Api>, met: Arc<Mutex<Met>>, kind: Kind, mut chance: Chance) {
    let Ok(key) = random_key() else { return };
    let asked = clock::now();
    let call = Call::post(api.room_path("/tickets"), json!({})).key(&key).at_the_door();
    let joined = match api.call(call, &mut chance).await {
        Ok(answer) => answer.read::<Joined>(),
        Err(away) => Err(away.0),
    };
    let mut met = lock(&met);
    match joined {
        Ok(joined) => {
            met.measured.took(kind, clock::now().saturating_sub(asked));
            met.numbers.push(joined.number);
            met.tickets.push(joined.ticket);
        }
        Err(why) => *met.failures.entry(why).or_default() += 1,
    }
}

fn lock(met: &Mutex<Met>) -> std::sync::MutexGuard<'_, Met> {
    met.lock().unwrap_or_else(PoisonError::into_inner)
}
