//! How fast the line moves, and so how long it takes: an estimate with bounds, in whole seconds.

use std::collections::VecDeque;

use serde::Serialize;

use crate::policy::Policy;
use crate::words::Timestamp;

/// How long past calls count, in milliseconds.
const MEMORY_MS: u64 = 300_000;
/// The policy's own rate counts as if it had been watched this long, in milliseconds.
const PRIOR_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// Watches the calls of a room while somebody waits.
#[derive(Debug, Clone, Default)]
pub struct Outflow {
    /// (when, calls, busy milliseconds before it)
    ticks: VecDeque<(Timestamp, u64, u64)>,
    last: Option<Timestamp>,
}

impl Outflow {
    /// Takes note of a tick: `called` since the last one, less those who filled slots that stood free; `busy` when somebody waited and the room was open.
    pub fn observe(&mut self, now: Timestamp, called: u64, busy: bool) {
        let elapsed = self.last.map_or(0, |last| now.since(last));
        self.last = Some(now);
        if busy || called > 0 {
            self.ticks.push_back((now, called, elapsed));
        }
        while self.ticks.front().is_some_and(|(at, ..)| now.since(*at) > MEMORY_MS) {
            self.ticks.pop_front();
        }
    }

    /// Visitors called an hour: what was seen, weighed with what the policy lets expect.
    pub fn per_hour(&self, policy: &Policy) -> u64 {
        let (calls, busy_ms) = self
            .ticks
            .iter()
            .fold((0u64, 0u64), |(calls, ms), (_, called, elapsed)| (calls + called, ms + elapsed));
        let seen = u128::from(calls) * u128::from(HOUR_MS);
        let prior = u128::from(expected_per_hour(policy)) * u128::from(PRIOR_MS);
        u64::try_from((seen + prior) / u128::from(busy_ms + PRIOR_MS)).unwrap_or(u64::MAX)
    }
}

/// What the policy alone lets expect: every slot used to its end, or the rate where that is less.
pub fn expected_per_hour(policy: &Policy) -> u64 {
    let slots = policy.capacity.saturating_mul(3600) / policy.active_seconds.max(1);
    let rate = policy.admit_per_minute.map_or(u64::MAX, |rate| rate.saturating_mul(60));
    slots.min(rate).max(u64::from(policy.capacity > 0))
}

/// Seconds until it is one's turn; all absent while nothing lets anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Eta {
    pub eta_seconds: Option<u64>,
    pub eta_low_seconds: Option<u64>,
    pub eta_high_seconds: Option<u64>,
}

/// The wait at `position` when `per_hour` leave the line: the expected time, and the bounds of about two
/// standard deviations of a Poisson outflow whose rate itself is known only from five minutes of it.
pub fn eta(position: u64, per_hour: u64) -> Eta {
    if per_hour == 0 {
        return Eta::default();
    }
    let seconds = (u128::from(position) * 3600 / u128::from(per_hour)).min(86_400 * 30) as u64;
    // Relative error in per mille: sqrt(1/position + 1/calls seen), doubled.
    let calls_seen = (per_hour / 12).max(1);
    let spread = 2 * ((1_000_000 / position.max(1)) + 1_000_000 / calls_seen).isqrt();
    let low = seconds * 1000 / (1000 + spread);
    let high = seconds + seconds * spread.min(3000) / 1000;
    Eta {
        eta_seconds: Some(coarse(seconds)),
        eta_low_seconds: Some(coarse(low).min(coarse(seconds))),
        eta_high_seconds: Some(coarse(high).max(coarse(seconds))),
    }
}

/// Rounds to what a person would say, so that a figure changes when it means something.
fn coarse(seconds: u64) -> u64 {
    let step = match seconds {
        0..=59 => 5,
        60..=599 => 15,
        600..=3599 => 60,
        _ => 300,
    };
    seconds.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::policy;

    #[test]
    fn the_estimate_moves_from_the_policy_to_what_is_seen() {
        let policy = policy(100);
        let mut outflow = Outflow::default();
        assert_eq!(outflow.per_hour(&policy), 1200);
        for tick in 0..300 {
            outflow.observe(Timestamp::from_millis(1_000_000 + tick * 1000), 10, true);
        }
        let seen = outflow.per_hour(&policy);
        assert!((29_000..=36_000).contains(&seen), "{seen} an hour at 10 a second");
    }

    #[test]
    fn a_quiet_line_says_nothing_of_its_speed() {
        let policy = policy(100);
        let mut outflow = Outflow::default();
        for tick in 0..300 {
            outflow.observe(Timestamp::from_millis(1_000_000 + tick * 1000), 0, false);
        }
        assert_eq!(outflow.per_hour(&policy), 1200);
    }

    #[test]
    fn bounds_hold_the_estimate_and_nothing_overflows() {
        for position in [1, 10, 1000, u64::MAX] {
            for rate in [1, 60, 36_000, u64::MAX] {
                let eta = eta(position, rate);
                assert!(eta.eta_low_seconds <= eta.eta_seconds && eta.eta_seconds <= eta.eta_high_seconds);
            }
        }
        assert_eq!(eta(5, 0), Eta::default());
    }
}
