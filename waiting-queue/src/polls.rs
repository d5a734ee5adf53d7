//! Who polls is there: numbers that asked for their status are reported as present, like open channels.

use std::collections::VecDeque;
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

pub(crate) struct Polls {
    node: String,
    rooms: DashMap<RoomId, VecDeque<RoaringTreemap>>,
}

impl Polls {
    pub fn new(node: String) -> Self {
        Self { node, rooms: DashMap::new() }
    }

    pub fn note(&self, room: &RoomId, number: Number) {
        let mut recent = self.rooms.entry(room.clone()).or_default();
        match recent.back_mut() {
            Some(newest) => newest.insert(number),
            None => {
                recent.push_back(RoaringTreemap::from_iter([number]));
                true
            }
        };
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

    /// What the recent reports hold together, and the beginning of the next one.
    fn turn(&self) -> Vec<(RoomId, RoaringTreemap)> {
        let turn = |recent: &mut VecDeque<RoaringTreemap>| {
            let all = recent.iter().fold(RoaringTreemap::new(), |all, some| all | some);
            recent.push_back(RoaringTreemap::new());
            while recent.len() > REPORTS {
                recent.pop_front();
            }
            all
        };
        self.rooms.iter_mut().map(|mut room| (room.key().clone(), turn(room.value_mut()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_reported_three_times_and_then_forgotten() {
        let (polls, room) = (Polls::new("n".into()), RoomId::parse("demo").unwrap());
        polls.note(&room, 7);
        for _ in 0..REPORTS {
            assert!(polls.turn()[0].1.contains(7));
        }
        assert!(polls.turn()[0].1.is_empty());
    }
}
