//! Who has been away for how long, from snapshots of who is there. Nothing is written per visitor and tick:
//! a snapshot is a bitmap, and absence counts only between snapshots that we ourselves watched.

use std::collections::VecDeque;

use roaring::RoaringTreemap;

use crate::room::RoomState;
use crate::words::{Number, Ranges, Timestamp};

/// When each number of a room was last seen, since the watch began.
#[derive(Debug, Clone)]
pub struct Attendance {
    since: Timestamp,
    base: Number,
    /// Milliseconds after `since`, for the numbers from `base` on.
    seen: VecDeque<u32>,
}

/// Stands for a number that neither waits nor has a slot any more.
const OVER: u32 = u32::MAX;

impl Attendance {
    /// A watch must begin anew before it is this old, in seconds: times are kept in 32 bits.
    pub const SECONDS_MAX: u64 = 30 * 86_400;

    /// Begins to watch: everyone counts as seen now.
    pub fn new(now: Timestamp) -> Self {
        Self { since: now, base: 1, seen: VecDeque::new() }
    }

    /// When this watch began.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Takes note of who is there; numbers up to `issued` that were not known count as seen now.
    pub fn observe(&mut self, issued: Number, present: &RoaringTreemap, now: Timestamp) {
        let now = self.offset(now);
        let known = usize::try_from((issued + 1).saturating_sub(self.base)).unwrap_or(usize::MAX);
        if known > self.seen.len() {
            self.seen.resize(known, now);
        }
        for number in present {
            if let Some(seen) = self.slot(number).and_then(|at| self.seen.get_mut(at)) {
                *seen = now;
            }
        }
    }

    /// When a number was last seen; the beginning of the watch at the earliest.
    pub fn last_seen(&self, number: Number) -> Timestamp {
        let seen = self.slot(number).and_then(|at| self.seen.get(at)).filter(|seen| **seen != OVER);
        self.since.plus_millis(seen.copied().unwrap_or(0).into())
    }

    /// Who waits and has been away for the whole grace. One walk over the times; the room is asked only
    /// about those who are away, and about who ended only once.
    pub fn gone(&mut self, room: &RoomState, grace_seconds: u64, now: Timestamp) -> Ranges {
        let Some(latest) = u64::from(self.offset(now)).checked_sub(grace_seconds * 1000) else {
            return Ranges::default();
        };
        let mut gone = Ranges::default();
        for (number, seen) in (self.base..).zip(self.seen.iter_mut()) {
            if *seen == OVER || u64::from(*seen) > latest {
                continue;
            }
            if room.line.contains(number) {
                gone.push(number);
            } else if number <= room.issued && !room.sessions.contains_key(&number) {
                *seen = OVER;
            }
        }
        gone
    }

    /// Until when a called visitor may claim: the later of the claim window and the rest of the grace,
    /// both begun anew when we were away.
    pub fn claim_until(
        &self,
        number: Number,
        claim_by: Timestamp,
        claim_seconds: u64,
        grace_seconds: u64,
    ) -> Timestamp {
        claim_by
            .max(self.since.plus_seconds(claim_seconds))
            .max(self.last_seen(number).plus_seconds(grace_seconds))
    }

    /// The first number that still waits or has a slot; what is before it can be forgotten.
    pub fn first_held(&self, room: &RoomState) -> Number {
        let held = |(number, seen): &(Number, &u32)| {
            **seen != OVER && (*number > room.issued || room.holds(*number))
        };
        let unknown = self.base + self.seen.len() as u64;
        (self.base..).zip(&self.seen).find(held).map_or(unknown, |(number, _)| number)
    }

    /// Forgets the numbers before `first`, none of which waits or is called any more.
    pub fn forget_before(&mut self, first: Number) {
        let done =
            usize::try_from(first.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.seen.len());
        self.seen.drain(..done);
        self.base += done as u64;
    }

    fn slot(&self, number: Number) -> Option<usize> {
        usize::try_from(number.checked_sub(self.base)?).ok()
    }

    fn offset(&self, now: Timestamp) -> u32 {
        u32::try_from(now.since(self.since)).unwrap_or(OVER).min(OVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{LaneName, RoomId};

    const T0: Timestamp = Timestamp::from_millis(1_000_000);

    fn room() -> RoomState {
        let mut room = RoomState::new(RoomId::parse("r").unwrap(), crate::contract::policy(1), T0);
        room.line.arrive(&LaneName::default_lane(), 1, 3);
        room.issued = 3;
        room
    }

    #[test]
    fn absence_counts_from_the_last_sight_and_never_before_the_watch() {
        let (room, mut attendance) = (room(), Attendance::new(T0));
        attendance.observe(3, &[1, 2].into_iter().collect(), T0);
        attendance.observe(3, &[2].into_iter().collect(), T0.plus_seconds(9));
        let gone = |attendance: &mut Attendance, at: u64| {
            attendance.gone(&room, 10, T0.plus_seconds(at)).numbers().collect::<Vec<_>>()
        };
        assert_eq!(gone(&mut attendance, 9), Vec::<u64>::new());
        assert_eq!(gone(&mut attendance, 10), vec![1, 3]);
        assert_eq!(gone(&mut attendance, 19), vec![1, 2, 3]);
        attendance.observe(3, &[1].into_iter().collect(), T0.plus_seconds(19));
        assert_eq!(gone(&mut attendance, 19), vec![2, 3]);
    }

    #[test]
    fn who_ended_is_asked_about_once_and_who_is_unknown_yet_again() {
        let (mut room, mut attendance) = (room(), Attendance::new(T0));
        attendance.observe(5, &RoaringTreemap::new(), T0);
        assert!(room.line.leave(2));
        assert_eq!(attendance.gone(&room, 10, T0.plus_seconds(10)).runs(), &[[1, 1], [3, 3]]);
        // Numbers that this node has not heard of yet join its line later.
        room.line.arrive(&LaneName::default_lane(), 4, 5);
        room.issued = 5;
        assert_eq!(attendance.gone(&room, 10, T0.plus_seconds(10)).runs(), &[[1, 1], [3, 5]]);
        assert_eq!(attendance.last_seen(2), T0);
    }

    #[test]
    fn a_claim_has_the_later_of_window_and_grace() {
        let mut attendance = Attendance::new(T0);
        attendance.observe(2, &RoaringTreemap::new(), T0);
        attendance.observe(2, &[1].into_iter().collect(), T0.plus_seconds(100));
        let claim_by = T0.plus_seconds(105);
        assert_eq!(attendance.claim_until(1, claim_by, 5, 60), T0.plus_seconds(160));
        assert_eq!(attendance.claim_until(2, claim_by, 5, 60), claim_by);
        // Called before we were away: the window begins anew.
        assert_eq!(attendance.claim_until(2, T0.minus_millis(9), 5, 2), T0.plus_seconds(5));
    }

    #[test]
    fn what_is_forgotten_counts_as_seen_when_the_watch_began() {
        let mut attendance = Attendance::new(T0);
        attendance.observe(5, &RoaringTreemap::new(), T0.plus_seconds(7));
        attendance.forget_before(4);
        assert_eq!(attendance.last_seen(2), T0);
        assert_eq!(attendance.last_seen(5), T0.plus_seconds(7));
    }
}
