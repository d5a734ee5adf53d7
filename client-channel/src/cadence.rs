//! How often whom: those next up hear every change at once, the middle every sweep, the far end every few; and
//! when all that is more than this shard can send, fewer of them. Figures may be older then, never wrong. Pure.

use std::time::Duration;

use crate::spread::mixed;

/// Positions up to this one hear of every change, whatever else there is to send.
pub const NEAR: u64 = 300;
/// Sweeps from one figure to the next at the far end: whoever waits there for an hour sees it fall all the same.
pub const FAR_SWEEPS: u64 = 3;
/// Of a tick, so much may be spent on sending; the rest is for whoever arrives, leaves or is let in.
const SHARE: f64 = 0.8;
/// Fewer pushes say nothing of how fast this shard can send.
const TELLING: u64 = 1_000;

/// The cadence of a shard, judged anew after each sweep.
#[derive(Debug, Clone)]
pub struct Cadence {
    far_from: u64,
    /// Pushes a sweep at most, beyond those near.
    budget: u64,
    stretch: u64,
    sweep: u64,
}

/// What one sweep found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Who waits, by how often they hear.
    pub near: u64,
    pub middle: u64,
    pub far: u64,
    /// Pushes made.
    pub told: u64,
}

impl Load {
    pub fn add(&mut self, other: Load) {
        self.near += other.near;
        self.middle += other.middle;
        self.far += other.far;
        self.told += other.told;
    }
}

impl Cadence {
    /// `far_from`: the position where the far end begins, 0 where there is none. `pushes_per_second`: of this
    /// shard, at most.
    pub fn new(far_from: u64, pushes_per_second: u64, tick: Duration) -> Self {
        let far_from = if far_from == 0 { u64::MAX } else { far_from.max(NEAR + 1) };
        let budget = (pushes_per_second as f64 * tick.as_secs_f64()) as u64;
        Self { far_from, budget: budget.max(1), stretch: 1, sweep: 0 }
    }

    /// Sweeps between two figures at this position.
    pub fn sweeps(&self, position: u64) -> u64 {
        match position {
            0..=NEAR => 1,
            _ if position < self.far_from => self.stretch,
            _ => self.stretch.saturating_mul(FAR_SWEEPS),
        }
    }

    /// Whether the figures at this position are looked at in this sweep; spread evenly by the number.
    pub fn is_due(&self, number: u64, position: u64) -> bool {
        // A shard may have every second number only.
        ((mixed(number) >> 1) + self.sweep).is_multiple_of(self.sweeps(position))
    }

    /// Takes note of where somebody stands.
    pub fn count(&self, load: &mut Load, position: u64) {
        *match position {
            0..=NEAR => &mut load.near,
            _ if position < self.far_from => &mut load.middle,
            _ => &mut load.far,
        } += 1;
    }

    /// Judges a sweep that took so long of a tick, and begins the next.
    pub fn swept(&mut self, load: Load, took: Duration, tick: Duration) {
        self.sweep += 1;
        let mut budget = self.budget as f64;
        if load.told >= TELLING && !took.is_zero() {
            budget = budget.min(load.told as f64 / took.as_secs_f64() * tick.as_secs_f64() * SHARE);
        }
        let left = (budget - load.near as f64).max(budget / 10.0);
        let wanted = load.middle as f64 + load.far as f64 / FAR_SWEEPS as f64;
        self.stretch = ((wanted / left).ceil() as u64).max(1);
    }

    /// How many times rarer than usual the middle and the far end hear; 1 is as usual.
    pub fn stretch(&self) -> u64 {
        self.stretch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(1);

    fn heard(cadence: &mut Cadence, number: u64, position: u64, load: Load) -> Vec<u64> {
        let mut sweeps = Vec::new();
        for sweep in 0..12 {
            if cadence.is_due(number, position) {
                sweeps.push(sweep);
            }
            cadence.swept(load, Duration::from_millis(10), TICK);
        }
        sweeps
    }

    #[test]
    fn those_near_hear_every_sweep_and_the_far_end_every_third() {
        let mut cadence = Cadence::new(10_000, 100_000, TICK);
        for (position, every) in [(1, 1), (9_999, 1), (10_000, 3), (1_000_000, 3)] {
            cadence.sweep = 0;
            let sweeps = heard(&mut cadence, 7, position, Load::default());
            assert_eq!(sweeps.len() as u64, 12 / every, "{position}");
            assert!(sweeps.windows(2).all(|two| two[1] - two[0] == every), "{position}: {sweeps:?}");
        }
        // 0: there is no far end.
        assert_eq!(heard(&mut Cadence::new(0, 100_000, TICK), 7, 1_000_000, Load::default()).len(), 12);
    }

    #[test]
    fn beyond_the_budget_all_but_the_nearest_hear_more_rarely_and_as_usual_when_it_is_over() {
        let mut cadence = Cadence::new(10_000, 10_000, TICK);
        let crowd = Load { near: 300, middle: 9_700, far: 90_000, told: 0 };
        cadence.swept(crowd, Duration::ZERO, TICK);
        // (9,700 + 90,000 / 3) / 9,700 left
        assert_eq!((cadence.stretch(), cadence.sweeps(300), cadence.sweeps(301)), (5, 1, 5));
        assert_eq!(cadence.sweeps(10_000), 15);
        let pushes = 300 + 9_700 / 5 + 90_000 / 15;
        assert!(pushes <= 10_000, "{pushes}");
        cadence.swept(Load { near: 300, middle: 500, far: 0, told: 800 }, Duration::ZERO, TICK);
        assert_eq!(cadence.stretch(), 1);
    }

    #[test]
    fn a_slow_machine_sends_what_it_can() {
        let mut cadence = Cadence::new(0, 1_000_000, TICK);
        // 50,000 pushes took two seconds: 25,000 fit a tick, 20,000 with room for others.
        let crowd = Load { near: 0, middle: 50_000, far: 0, told: 50_000 };
        cadence.swept(crowd, Duration::from_secs(2), TICK);
        assert_eq!(cadence.stretch(), 3);
    }

    #[test]
    fn everybody_is_due_once_in_their_interval() {
        let mut cadence = Cadence::new(1_000, 1_000, TICK);
        cadence.stretch = 4;
        for number in 0..100 {
            let due = (0..12).filter(|sweep| {
                cadence.sweep = *sweep;
                cadence.is_due(number, 5_000)
            });
            assert_eq!(due.count(), 1, "{number}");
        }
        // Of every second number about a twelfth in each sweep.
        for sweep in 0..12 {
            cadence.sweep = sweep;
            let due = (0..24_000).step_by(2).filter(|number| cadence.is_due(*number, 5_000)).count();
            assert!((900..1_100).contains(&due), "{due} in sweep {sweep}");
        }
    }
}
