//! Who polls is there: numbers that asked for their status are reported as present, like open channels.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use kernel::ports::Lookout;
use kernel::words::{Number, RoomId};
use roaring::RoaringTreemap;
use tokio_util::sync::CancellationToken;

use crate::Ports;

const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A poll stays in this many reports, so that whoever reads presence once a second cannot miss it.
const REPORTS: usize = 3;
const LEASE_SECONDS: u64 = 5;
/// Neighbours in line poll at the same time and note themselves under different locks.
const STRIPES: usize = 16;

pub(crate) struct Polls {
    node: String,
    rooms: DashMap<RoomId, Polled>,
}

/// Who polled in one room.
#[derive(Default)]
struct Polled {
    /// Since the last report, by `number % STRIPES`.
    newest: [Mutex<RoaringTreemap>; STRIPES],
    /// What the reports before it were the first to tell.
    recent: Mutex<VecDeque<RoaringTreemap>>,
}

impl Polled {
    fn note(&self, number: Number) {
        locked(&self.newest[(number % STRIPES as u64) as usize]).insert(number);
    }

    /// What the next report tells; what was noted is forgotten after [`REPORTS`] of them.
    fn turn(&self) -> RoaringTreemap {
        let stripes = self.newest.iter().map(|stripe| std::mem::take(&mut *locked(stripe)));
        let newest = stripes.fold(RoaringTreemap::new(), |all, some| all | some);
        let mut recent = locked(&self.recent);
        recent.push_back(newest);
        while recent.len() > REPORTS {
            recent.pop_front();
        }
        recent.iter().fold(RoaringTreemap::new(), |all, some| all | some)
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Polls {
    pub fn new(node: String) -> Self {
        Self { node, rooms: DashMap::new() }
    }

    pub fn note(&self, room: &RoomId, number: Number) {
        if let Some(polled) = self.rooms.get(room) {
            return polled.note(number);
        }
        self.rooms.entry(room.clone()).or_default().note(number);
    }

    pub async fn report(&self, ports: &Ports, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(REPORT_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let told = ports.presence.look_out(Lookout::Polls, LEASE_SECONDS, ports.clock.now()).await;
            if let Err(error) = told {
                tracing::warn!(%error, "it could not be told that polls are answered here");
            }
            for (room, present) in self.turn() {
                let reported =
                    ports.presence.report(&self.node, &room, present, LEASE_SECONDS, ports.clock.now()).await;
                if let Err(error) = reported {
                    tracing::warn!(%room, %error, "polls could not be reported as presence");
                }
            }
        }
    }

    fn turn(&self) -> Vec<(RoomId, RoaringTreemap)> {
        self.rooms.iter().map(|polled| (polled.key().clone(), polled.turn())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_reported_three_times_and_then_forgotten() {
        let (polls, room) = (Polls::new("n".into()), RoomId::parse("demo").unwrap());
        let told = || polls.turn().remove(0).1.into_iter().collect::<Vec<_>>();
        polls.note(&room, 7);
        assert_eq!(told(), [7]);
        polls.note(&room, 8);
        polls.note(&room, 7 + STRIPES as u64);
        for _ in 1..REPORTS {
            assert_eq!(told(), [7, 8, 23]);
        }
        assert_eq!(told(), [8, 23]);
        assert!(told().is_empty());
    }
}
