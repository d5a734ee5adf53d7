//! The desk of one room: looks at its counts, lets the kernel decide, calls the next.

use std::sync::Arc;
use std::time::Duration;

use kernel::admission::{share, slots_open};
use kernel::control::{self, Control, Order};
use kernel::outflow::Outflow;
use kernel::ports::StoreError;
use kernel::room::{Call, Called, RoomCounts};
use kernel::words::{RoomId, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Config, Ports};

/// Visitors called in one step of the store at most, so that others get their turn at it.
const CALL_MAX: u64 = 5_000;
/// Steps of one pass; what is left is done in the next, after whatever else waits.
const STEPS_MAX: usize = 64;
/// How soon a room is looked at again when only its pace holds it back.
const PACE_STEP: Duration = Duration::from_millis(100);
/// After how long another replica tells the progress of a room whose teller fell silent: a few ticks.
const LEASE_SECONDS: u64 = 3;
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Desk {
    room: RoomId,
    config: Config,
    ports: Ports,
    bell: Arc<Notify>,
    outflow: Outflow,
    /// The room's `called` and `active` at the last tick; absent before the first.
    then: Option<(u64, u64)>,
    /// Somebody waited in an open room at some look since the last tick.
    busy: bool,
}

/// What a pass leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Nothing before the next tick or the room's next own time.
    Rest { until: Option<Timestamp> },
    /// The pace lets somebody in soon.
    Pace,
    /// More can be called at once.
    More,
}

impl Desk {
    pub fn new(room: RoomId, config: Config, ports: Ports, bell: Arc<Notify>) -> Self {
        Self { room, config, ports, bell, outflow: Outflow::default(), then: None, busy: false }
    }

    /// Works until stopped, or until the room is gone. A store that fails is asked again.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut next_tick = Instant::now();
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            let ticks = Instant::now() >= next_tick;
            if ticks {
                next_tick = Instant::now() + self.config.tick;
            }
            let wait = match self.look(ticks).await {
                Ok(after) => {
                    pause = PAUSE;
                    self.wait(after, next_tick)
                }
                Err(StoreError::UnknownRoom) => return,
                Err(error) => {
                    tracing::warn!(room = %self.room, %error, "admission stands still; trying again");
                    next_tick = Instant::now();
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => continue,
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // Not in vain: another replica tells from the next tick on. A lease that stays runs out by itself.
        let _ = self.ports.leases.release(&self.lease(), &self.config.node).await;
    }

    async fn look(&mut self, ticks: bool) -> Result<After, StoreError> {
        let seen = self.counts().await?;
        let seen = match seen.scheduled(self.ports.clock.now()) {
            None => seen,
            Some(order) => {
                self.keep_time(&seen, order).await?;
                self.counts().await?
            }
        };
        let (seen, after) = self.admit(seen).await?;
        if ticks {
            self.tell_progress(&seen).await?;
        }
        Ok(after)
    }

    async fn counts(&self) -> Result<RoomCounts, StoreError> {
        self.ports.store.counts(&self.room).await
    }

    /// Opens or closes the room: its time has come.
    async fn keep_time(&self, seen: &RoomCounts, order: Order) -> Result<(), StoreError> {
        let (store, now) = (self.ports.store.as_ref(), self.ports.clock.now());
        match order {
            Order::Open => {
                let record = self.ports.registry.load(&self.room).await?.ok_or(StoreError::UnknownRoom)?;
                edge::opening::open(store, &record, &self.ports.tickets, now).await
            }
            Order::Close | Order::Pause | Order::Resume => {
                let from = seen.counts.control;
                let Ok(to) = control::step(from, order) else { return Ok(()) };
                if store.control(&self.room, from, to, None, now).await? {
                    tracing::info!(room = %self.room, "the room's time is over; it closes");
                }
                Ok(())
            }
        }
    }

    /// Calls as many as may enter now; answers the counts after that.
    async fn admit(&mut self, mut seen: RoomCounts) -> Result<(RoomCounts, After), StoreError> {
        for _ in 0..STEPS_MAX {
            let now = self.ports.clock.now();
            self.busy |= waits(&seen);
            let slots = slots_open(&seen.counts, now).min(CALL_MAX);
            if slots == 0 {
                let after = idle(&seen, now);
                return Ok((seen, after));
            }
            let call = Call {
                per_lane: share(slots, &seen.counts.lanes),
                called_before: seen.called,
                active_max: seen.counts.capacity,
                claim_by: now.plus_seconds(seen.policy.claim_seconds),
            };
            match self.ports.store.call_next(&self.room, call, now).await? {
                Called::Numbers(numbers) => {
                    metrics::counter!("turnline_called_total").increment(numbers.count());
                }
                Called::LostRace => metrics::counter!("turnline_lost_races_total").increment(1),
            }
            seen = self.counts().await?;
        }
        Ok((seen, After::More))
    }

    /// Each replica keeps count, so that another can go on; one of them tells.
    async fn tell_progress(&mut self, seen: &RoomCounts) -> Result<(), StoreError> {
        let now = self.ports.clock.now();
        let (called_then, active_then) = self.then.unwrap_or((seen.called, seen.counts.active));
        self.then = Some((seen.called, seen.counts.active));
        let called = seen.called.saturating_sub(called_then);
        // Filling slots that stood free tells nothing of how fast they will come free again.
        let filled = match seen.policy.admit_per_minute {
            None => seen.counts.active.saturating_sub(active_then),
            Some(_) => 0,
        };
        self.outflow.observe(now, called.saturating_sub(filled), std::mem::take(&mut self.busy));
        let rate = self.outflow.per_hour(&seen.policy);
        if self.ports.leases.hold(&self.lease(), &self.config.node, LEASE_SECONDS).await? {
            self.ports.store.progress(&self.room, rate, now).await?;
        }
        Ok(())
    }

    fn lease(&self) -> String {
        format!("progress of {}", self.room)
    }

    fn wait(&self, after: After, next_tick: Instant) -> Duration {
        let tick = next_tick.saturating_duration_since(Instant::now());
        match after {
            After::More => Duration::ZERO,
            After::Pace => tick.min(PACE_STEP),
            After::Rest { until: None } => tick,
            After::Rest { until: Some(at) } => {
                tick.min(Duration::from_millis(at.since(self.ports.clock.now())))
            }
        }
    }
}

fn waits(seen: &RoomCounts) -> bool {
    seen.counts.control == Control::Open && seen.counts.lanes.iter().any(|lane| lane.waiting > 0)
}

/// Why nobody may enter now, and so when to look again.
fn idle(seen: &RoomCounts, now: Timestamp) -> After {
    let free = seen.counts.active < seen.counts.capacity;
    if waits(seen) && free { After::Pace } else { After::Rest { until: seen.next_scheduled(now) } }
}
