//! The task of a room on this node: it alone knows who sits there, hears the room's events, sweeps once a
//! tick, and reports who is present. Sockets meet it only through their outboxes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edge::mirror::{Followed, Mirror};
use futures_util::future::join_all;
use kernel::event::Event;
use kernel::room::Standing;
use kernel::words::Number;
use roaring::RoaringTreemap;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::core::Core;
use crate::outbox::{Link, Outbox, Outgoing};
use crate::seats::{Beat, Seats};

/// Connections on their way to their seats; who comes beyond waits.
const ARRIVALS: usize = 1024;
/// Visitors whose end is asked of the store in one tick.
const MISSING_PER_TICK: usize = 64;
const LONGEST_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that wants a seat.
#[derive(Debug)]
pub struct Arrival {
    pub number: Number,
    pub outbox: Arc<Outbox>,
}

pub struct Shard {
    core: Arc<Core>,
    mirror: Arc<Mirror>,
    seats: Seats<Arc<Outbox>>,
    began: Instant,
    report: Option<JoinHandle<()>>,
    reported_somebody: bool,
}

/// Begins to hold a room's sockets. The shard ends when the process drains or nobody can reach it any more.
pub fn start(core: Arc<Core>, mirror: Arc<Mirror>) -> Option<mpsc::Sender<Arrival>> {
    let (sender, arrivals) = mpsc::channel(ARRIVALS);
    // Listen first: what happens from here on is heard, what happened before is in the state.
    let followed = mirror.listen();
    let config = &core.config;
    let figures_ms = u64::try_from(config.tick.as_millis()).unwrap_or(u64::MAX) * 9 / 10;
    let beat = Beat { figures_ms, expiring_seconds: config.expiring_seconds };
    let seats = mirror.read(|state| Seats::new(beat, state))?;
    let shard = Shard { core, mirror, seats, began: Instant::now(), report: None, reported_somebody: false };
    tokio::spawn(shard.run(arrivals, followed));
    Some(sender)
}

impl Shard {
    async fn run(
        mut self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut followed: broadcast::Receiver<Followed>,
    ) {
        let mut tick = tokio::time::interval(self.core.config.tick);
        // A late sweep must not be followed by an early one: figures come at most once a tick.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = tokio::time::interval(self.report_interval());
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let draining = self.core.draining.clone();
        loop {
            tokio::select! {
                () = draining.cancelled() => break,
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.seat(arrival),
                    None => break,
                },
                heard = followed.recv() => match heard {
                    Ok(Followed::Event(record)) => self.follow(&record.event),
                    Ok(Followed::Anew) | Err(RecvError::Lagged(_)) => self.look_anew(),
                    Err(RecvError::Closed) => break,
                },
                _ = tick.tick() => {
                    self.sweep();
                    self.find_missing().await;
                }
                _ = report.tick() => {
                    self.report_present();
                    report.reset_after(self.report_interval());
                }
            }
        }
        self.seats.dismiss();
        arrivals.close();
        while let Ok(late) = arrivals.try_recv() {
            late.outbox.put(Outgoing::Away);
        }
    }

    fn seat(&mut self, arrival: Arrival) {
        let at_ms = self.at_ms();
        self.mirror.read(|state| self.seats.seat(arrival.number, arrival.outbox, state, at_ms));
    }

    /// Milliseconds since this shard began: paces figures, whatever becomes of the clock on the wall.
    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn follow(&mut self, event: &Event) {
        if let Event::Room(event) = event {
            self.mirror.read(|state| self.seats.follow(&event.fact, state));
        }
    }

    fn look_anew(&mut self) {
        self.mirror.read(|state| self.seats.look_anew(state));
    }

    fn sweep(&mut self) {
        let (began, now, at_ms) = (Instant::now(), self.core.ports.clock.now(), self.at_ms());
        let swept = self.mirror.read(|state| self.seats.sweep(state, now, at_ms)).unwrap_or_default();
        metrics::histogram!("turnline_channel_sweep_seconds").record(began.elapsed().as_secs_f64());
        metrics::counter!("turnline_channel_pushes_total").increment(swept.told);
        metrics::counter!("turnline_channel_replaced_total").increment(swept.replaced);
        if swept.grew > 0 {
            metrics::counter!("turnline_channel_position_grew_total").increment(swept.grew);
            tracing::error!(room = %self.mirror.room(), times = swept.grew, "positions would have grown; they were not told");
        }
    }

    /// Asks the store what became of those whose end was not heard here.
    async fn find_missing(&mut self) {
        let missing: Vec<Number> = self.seats.missing().take(MISSING_PER_TICK).collect();
        let (core, mirror) = (self.core.clone(), self.mirror.clone());
        let (store, room) = (core.ports.store.as_ref(), mirror.room());
        // At once: everybody else of the room waits for this.
        let looks = missing.into_iter().map(|number| async move { (number, store.seen(room, number).await) });
        for (number, seen) in join_all(looks).await {
            match seen {
                Ok(seen) => match seen.standing {
                    Standing::Ended(reason) => self.seats.end(number, reason),
                    // The store lost the number before it was told: the ticket has to be shown again.
                    Standing::Unknown => self.seats.send_away(number),
                    // The mirror is behind: the next tick asks again.
                    Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_) => {}
                },
                Err(error) => {
                    tracing::warn!(room = %self.mirror.room(), %error, "cannot ask how tickets ended");
                    return;
                }
            }
        }
    }

    /// Tells who is here, unless the last report is still on its way.
    fn report_present(&mut self) {
        if self.report.as_ref().is_some_and(|report| !report.is_finished()) {
            return;
        }
        let present = self.seats.take_present();
        // Nobody is worth one report: it takes back what the last one said.
        if present.is_empty() && !std::mem::replace(&mut self.reported_somebody, !present.is_empty()) {
            return;
        }
        self.reported_somebody = !present.is_empty();
        self.report = Some(tokio::spawn(report(self.core.clone(), self.mirror.clone(), present)));
    }

    /// Four reports in a grace at least, so that a lost one makes nobody absent.
    fn report_interval(&self) -> Duration {
        let grace = self.mirror.read(|state| state.policy.grace_seconds).unwrap_or(1);
        Duration::from_secs(grace).div_f64(4.0).clamp(Duration::from_millis(100), LONGEST_REPORT_INTERVAL)
    }
}

async fn report(core: Arc<Core>, mirror: Arc<Mirror>, present: RoaringTreemap) {
    let (ports, config, room) = (&core.ports, &core.config, mirror.room());
    let told =
        ports.presence.report(&config.node, room, present, config.lease_seconds, ports.clock.now()).await;
    if let Err(error) = told {
        metrics::counter!("turnline_channel_reports_failed_total").increment(1);
        tracing::warn!(%room, %error, "who is present could not be reported; the next report will tell");
    }
}
