//! Moves the rooms' events to the log, in order, one process a room at a time by lease. Joins never wait for
//! it, and go on while the log is away.

mod room;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dashmap::DashMap;
use futures_util::StreamExt;
use kernel::ports::Registry;
use kernel::words::RoomId;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::room::{Lag, RoomRelay};
use super::link::Fault;
use super::rooms::Rooms;
use super::server::Server;

/// A holder that falls silent loses a room after this long.
const LEASE_MS: u64 = 3_000;
/// How often leases are renewed and rooms looked for.
const TICK: Duration = Duration::from_secs(1);
/// Pause before the channel is opened again on which appends are told.
const PAUSE: Duration = Duration::from_millis(200);
/// Rooms that nobody here knew of, waiting to be looked at.
const NEWS: usize = 1_024;

/// Whom to wake when a room has new events: rooms known here, held or not.
type Wakes = Arc<DashMap<RoomId, Arc<Notify>>>;

pub(super) struct Relay {
    rooms: Arc<Rooms>,
    registry: Arc<dyn Registry>,
    /// Who holds the leases of this relay.
    holder: String,
    wakes: Wakes,
    held: HashMap<RoomId, Held>,
}

/// A room that this process relays.
struct Held {
    /// Ends the task when it is dropped.
    stop: DropGuard,
    lag: Arc<Lag>,
    task: JoinHandle<()>,
}

impl Relay {
    pub fn new(rooms: Arc<Rooms>, registry: Arc<dyn Registry>) -> Self {
        let holder = rooms.parts.next_writer();
        Self { rooms, registry, holder, wakes: Wakes::default(), held: HashMap::new() }
    }

    /// Relays until stopped, and gives its rooms to others then.
    pub async fn run(mut self, stop: CancellationToken) {
        let (news, mut heard) = mpsc::channel(NEWS);
        let scripts = &self.rooms.parts.aside;
        let (server, channel) = (scripts.link.server().clone(), scripts.space.appended());
        let mut finding = JoinSet::new();
        finding.spawn(listen(server, channel, self.wakes.clone(), news.clone()));
        finding.spawn(list(self.registry.clone(), self.wakes.clone(), news));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {
                    let known = self.wakes.iter().map(|wake| wake.key().clone()).collect();
                    self.hold(known).await;
                    self.measure();
                }
                Some(room) = heard.recv() => {
                    // It may have been heard of several times before it was known.
                    if !self.wakes.contains_key(&room) {
                        self.hold([room].into()).await;
                    }
                }
            }
        }
        finding.abort_all();
        self.give_back().await;
    }

    /// Takes or renews what can be had, and stops work on what others have.
    async fn hold(&mut self, rooms: BTreeSet<RoomId>) {
        let mut asked = JoinSet::new();
        for room in rooms {
            self.wakes.entry(room.clone()).or_default();
            let (parts, holder) = (self.rooms.parts.clone(), self.holder.clone());
            asked.spawn(async move {
                let held = parts.aside.lease(&work(&room), &holder, LEASE_MS).await;
                (room, held)
            });
        }
        let mut unheard = None;
        while let Some(asked) = asked.join_next().await {
            match asked {
                Ok((room, Ok(true))) => self.start(room),
                Ok((room, Ok(false))) => drop(self.held.remove(&room)),
                // Who cannot reach Redis can read no events either: nothing is to be stopped.
                Ok((_, Err(away))) => unheard = Some(away),
                Err(error) => {
                    tracing::error!(%error, "asking for the right to relay failed, a fault of ours")
                }
            }
        }
        if let Some(away) = unheard {
            tracing::warn!(%away, "the right to relay cannot be renewed");
        }
    }

    fn start(&mut self, room: RoomId) {
        if self.held.get(&room).is_some_and(|held| !held.task.is_finished()) {
            return;
        }
        let wake = self.wakes.entry(room.clone()).or_default().clone();
        let (stop, lag) = (CancellationToken::new(), Arc::<Lag>::default());
        let relay = RoomRelay::new(self.rooms.clone(), room.clone(), wake, lag.clone());
        let task = tokio::spawn(relay.run(stop.clone()));
        self.held.insert(room, Held { stop: stop.drop_guard(), lag, task });
    }

    fn measure(&self) {
        let now = self.rooms.parts.clock.now();
        let events: u64 = self.held.values().map(|held| held.lag.events.load(Ordering::Relaxed)).sum();
        let seconds = self.held.values().map(|held| held.lag.seconds(now)).fold(0.0, f64::max);
        metrics::gauge!("turnline_relay_lag_events").set(events as f64);
        metrics::gauge!("turnline_relay_lag_seconds").set(seconds);
    }

    async fn give_back(&mut self) {
        for (room, held) in self.held.drain() {
            drop(held.stop);
            // Only then nobody reads the room's events here any more.
            if held.task.await.is_err() {
                tracing::error!(%room, "relaying ended in a panic, a fault of ours");
            }
            if let Err(away) = self.rooms.parts.aside.release(&work(&room), &self.holder).await {
                tracing::warn!(%room, %away, "the right to relay could not be given back; it runs out by itself");
            }
        }
    }
}

/// The name of the lease.
fn work(room: &RoomId) -> String {
    format!("relay.{room}")
}

/// Tells the registry's rooms, for ever: beside the leases, which must not wait for a database.
async fn list(registry: Arc<dyn Registry>, wakes: Wakes, news: mpsc::Sender<RoomId>) {
    let mut failing = false;
    loop {
        match registry.all().await {
            Ok(records) => {
                failing = false;
                for room in records.into_iter().map(|record| record.birth.room) {
                    if !wakes.contains_key(&room) && news.send(room).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "the registry does not tell its rooms; those known are relayed");
                }
            }
        }
        sleep(TICK).await;
    }
}

/// Wakes whoever relays a room with new events, for ever. What is missed while the channel is cut is found by
/// looking, a second later.
async fn listen(server: Server, channel: String, wakes: Wakes, news: mpsc::Sender<RoomId>) {
    loop {
        if let Err(away) = listen_once(&server, &channel, &wakes, &news).await {
            tracing::debug!(%away, "the channel on which appends are told does not open");
        }
        sleep(PAUSE).await;
    }
}

async fn listen_once(
    server: &Server,
    channel: &str,
    wakes: &Wakes,
    news: &mpsc::Sender<RoomId>,
) -> Result<(), Fault> {
    let mut channels = server.channels().await.map_err(Fault::away)?;
    channels.subscribe(channel).await.map_err(Fault::away)?;
    // Whatever happened before was not told here.
    wakes.iter().for_each(|wake| wake.notify_one());
    let mut messages = channels.into_on_message();
    while let Some(message) = messages.next().await {
        let Ok(room) = RoomId::parse(&String::from_utf8_lossy(message.get_payload_bytes())) else { continue };
        match wakes.get(&room) {
            Some(wake) => wake.notify_one(),
            // When there is no room for news, the next look round finds it.
            None => drop(news.try_send(room)),
        }
    }
    Ok(())
}
