//! Rule 1 from the room's public state, sampled through the run.

use super::{At, Check, Tally, seconds};

/// One reading of `GET /v1/rooms/{room}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSample {
    pub active: u64,
    pub waiting: u64,
    pub capacity: u64,
    /// The room admits: it is neither paused nor closed.
    pub open: bool,
}

/// Remembers what the samples so far allow.
#[derive(Clone, Debug, Default)]
pub struct RoomWatch {
    pub first: Option<RoomSample>,
    pub last: Option<RoomSample>,
    pub capacity_most: u64,
    /// Those inside when the capacity was lowered: nobody is thrown out, nobody enters until they fit.
    grandfathered: u64,
}

impl RoomWatch {
    pub fn see(&mut self, sample: RoomSample, at: At, tally: &mut Tally) {
        match self.last {
            // Before the run the capacity may have been lowered, so the first reading proves nothing.
            None => self.grandfathered = sample.active,
            Some(before) if sample.capacity < before.capacity => {
                self.grandfathered = before.capacity.max(self.grandfathered);
            }
            Some(_) => {}
        }
        let allowed = sample.capacity.max(self.grandfathered);
        tally.judge(Check::ActiveWithinCapacity, sample.active <= allowed, || {
            format!("{} active with capacity {} at {}", sample.active, sample.capacity, seconds(at))
        });
        self.grandfathered = self.grandfathered.min(sample.active);
        self.capacity_most = self.capacity_most.max(sample.capacity);
        self.first.get_or_insert(sample);
        self.last = Some(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(samples: &[(u64, u64)]) -> u64 {
        let (mut watch, mut tally) = (RoomWatch::default(), Tally::default());
        for (second, &(active, capacity)) in samples.iter().enumerate() {
            let sample = RoomSample { active, waiting: 0, capacity, open: true };
            watch.see(sample, At::from_secs(second as u64), &mut tally);
        }
        tally.of(Check::ActiveWithinCapacity).broken
    }

    #[test]
    fn a_full_room_is_no_fault() {
        assert_eq!(broken(&[(0, 5), (5, 5), (3, 5), (5, 5)]), 0);
    }

    #[test]
    fn one_too_many_is_found() {
        assert_eq!(broken(&[(0, 5), (6, 5)]), 1);
        assert_eq!(broken(&[(5, 5), (6, 5), (6, 5)]), 2);
    }

    #[test]
    fn a_lowered_capacity_throws_nobody_out_and_lets_nobody_in() {
        assert_eq!(broken(&[(0, 5), (5, 5), (5, 2), (4, 2), (2, 2)]), 0);
        assert_eq!(broken(&[(0, 5), (5, 5), (5, 2), (3, 2), (4, 2)]), 1);
        assert_eq!(broken(&[(7, 5), (7, 5), (6, 5), (7, 5)]), 1);
    }
}
