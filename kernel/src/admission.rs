//! How many may enter now, and from which lane: counts in, numbers out.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::line::STRIDE;
use crate::words::Timestamp;

/// Everything a decision may know of a room: counts, never the line itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    pub control: Control,
    /// Called and active visitors.
    pub active: u64,
    pub capacity: u64,
    pub admit_per_minute: Option<u64>,
    pub pace: Pace,
    pub lanes: Vec<LaneCount>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneCount {
    pub waiting: u64,
    pub weight: u32,
    pub virtual_time: u64,
}

/// Visitors who may be called now.
pub fn slots_open(counts: &Counts, now: Timestamp) -> u64 {
    match counts.control {
        Control::Prequeue | Control::Paused | Control::Closed => 0,
        Control::Open => {
            let free = counts.capacity.saturating_sub(counts.active);
            let waiting = counts.lanes.iter().map(|lane| lane.waiting).sum();
            free.min(counts.pace.allowance(counts.admit_per_minute, now)).min(waiting)
        }
    }
}

/// How many of `slots` each lane gets: one after the other to the lane that has had least for its weight.
/// Whole while somebody waits; a lane alone gets all.
pub fn share(slots: u64, lanes: &[LaneCount]) -> Vec<u64> {
    let mut given = vec![0; lanes.len()];
    let mut times: Vec<u64> = lanes.iter().map(|lane| lane.virtual_time).collect();
    let mut left = slots;
    while left > 0 {
        let mut hungry = (0..lanes.len()).filter(|at| given[*at] < lanes[*at].waiting);
        let Some(first) = hungry.next() else { break };
        let Some(next) = hungry.chain([first]).min_by_key(|at| (times[*at], *at)) else { break };
        let alone = (0..lanes.len()).filter(|at| given[*at] < lanes[*at].waiting).count() == 1;
        let turns = if alone { left.min(lanes[next].waiting - given[next]) } else { 1 };
        given[next] += turns;
        times[next] += turns * (STRIDE / u64::from(lanes[next].weight.max(1)));
        left -= turns;
    }
    given
}

/// Milliseconds over which the rate is a hard limit.
const WINDOW_MS: u64 = 60_000;
/// How far ahead of an even pace calls may run, in microseconds: half a tick, so that fast rates flow.
const BURST_US: u64 = 500_000;

/// The pace of calls: never more than the rate in any minute, and evenly spread within it
/// (the generic cell rate algorithm, ITU-T I.371, over a sliding window).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    recent: VecDeque<(Timestamp, u64)>,
    /// When the next call would be due at an even pace, in microseconds since 1970.
    due_us: u64,
}

impl Pace {
    /// Takes note of `count` calls; keeps nothing in a room without a rate.
    pub(crate) fn called(&mut self, at: Timestamp, count: u64, per_minute: Option<u64>) {
        let Some(rate) = per_minute else {
            *self = Self::default();
            return;
        };
        self.recent.retain(|(then, _)| counts(*then, at));
        self.recent.push_back((at, count));
        self.due_us = self.due_us(at.as_millis() * 1000) + count * interval_us(rate);
    }

    /// How many may be called now; everybody without a rate.
    pub fn allowance(&self, per_minute: Option<u64>, now: Timestamp) -> u64 {
        let Some(rate) = per_minute else { return u64::MAX };
        let recent = self.recent.iter().filter(|(then, _)| counts(*then, now));
        let window = rate.saturating_sub(recent.map(|(_, count)| count).sum());
        let now_us = now.as_millis() * 1000;
        let room_us = (now_us + BURST_US).checked_sub(self.due_us(now_us));
        window.min(room_us.map_or(0, |room| room / interval_us(rate) + 1))
    }

    /// When the next call is due, not before `now_us`; now, should the clock have been set back since.
    fn due_us(&self, now_us: u64) -> u64 {
        let furthest = now_us + BURST_US + 2 * WINDOW_MS * 1000;
        if self.due_us > furthest { now_us } else { self.due_us.max(now_us) }
    }
}

/// Whether calls of `then` count at `now`. What lies further ahead than a window was noted before the clock
/// was set back.
fn counts(then: Timestamp, now: Timestamp) -> bool {
    now.since(then) < WINDOW_MS && then.since(now) < WINDOW_MS
}

fn interval_us(per_minute: u64) -> u64 {
    (60_000_000 / per_minute.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn lane(waiting: u64, weight: u32) -> LaneCount {
        LaneCount { waiting, weight, virtual_time: 0 }
    }

    fn counts(control: Control, active: u64, capacity: u64, waiting: u64) -> Counts {
        let lanes = vec![lane(waiting, 1)];
        Counts { control, active, capacity, admit_per_minute: None, pace: Pace::default(), lanes }
    }

    #[test]
    fn capacity_is_never_passed() {
        assert_eq!(slots_open(&counts(Control::Open, 3, 5, 100), T0), 2);
        assert_eq!(slots_open(&counts(Control::Open, 9, 5, 100), T0), 0);
        assert_eq!(slots_open(&counts(Control::Open, 0, 5, 1), T0), 1);
        assert_eq!(slots_open(&counts(Control::Paused, 0, 5, 9), T0), 0);
    }

    #[test]
    fn lanes_share_by_weight_and_leave_nothing_over() {
        assert_eq!(share(12, &[lane(100, 3), lane(100, 1)]), vec![9, 3]);
        assert_eq!(share(12, &[lane(2, 3), lane(100, 1)]), vec![2, 10]);
        assert_eq!(share(12, &[lane(0, 3), lane(5, 1)]), vec![0, 5]);
        assert_eq!(share(1, &[]), Vec::<u64>::new());
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody_up_for_long() {
        let mut pace = Pace::default();
        let late = T0.plus_seconds(86_400);
        pace.called(late, pace.allowance(Some(6), late), Some(6));
        assert_eq!(pace.allowance(Some(6), T0), 1);
        pace.called(T0, 1, Some(6));
        assert_eq!(pace.allowance(Some(6), T0.plus_seconds(1)), 0, "the pace is kept from here on");
        assert_eq!(pace.allowance(Some(6), T0.plus_seconds(10)), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_minute_sees_more_than_the_rate(rate in 1..500u64, steps in prop::collection::vec(0..3000u64, 1..200)) {
            let (mut pace, mut now, mut calls) = (Pace::default(), T0, Vec::new());
            for step in steps {
                now = now.plus_millis(step);
                let count = pace.allowance(Some(rate), now);
                if count > 0 {
                    pace.called(now, count, Some(rate));
                    calls.push((now, count));
                }
                let minute: u64 = calls.iter().filter(|(at, _)| now.since(*at) < 60_000).map(|(_, c)| c).sum();
                prop_assert!(minute <= rate, "{} in a minute, rate {}", minute, rate);
            }
        }

        #[test]
        fn a_steady_demand_gets_the_whole_rate(rate in 1..2000u64) {
            let (mut pace, mut total) = (Pace::default(), 0);
            for tenth in 0..6000u64 {
                let now = T0.plus_millis(tenth * 100);
                let count = pace.allowance(Some(rate), now);
                if count > 0 {
                    pace.called(now, count, Some(rate));
                    total += count;
                }
            }
            // Ten minutes; at most one step late a minute.
            prop_assert!(total >= rate * 10 * 95 / 100, "{} of {}", total, rate * 10);
        }
    }
}
