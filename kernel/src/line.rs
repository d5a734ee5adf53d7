//! The line of a room: who waits, in which lane, in which order, and how many stand before whom.
//!
//! A number is the order of arrival; a *place* is the order of being called. They are the same until a
//! lottery draws places for those who came before the opening. Every lane is a line of its own, a
//! [`RankSet`] over places, so a position is a rank and a waiting visitor costs about a bit.

use serde::{Deserialize, Serialize};

use crate::lottery::Draw;
use crate::policy::Policy;
use crate::rank_set::RankSet;
use crate::words::{LaneName, Number, Ranges};

/// One call's cost in a lane's virtual time is this, divided by the lane's weight (stride scheduling:
/// C. Waldspurger, W. Weihl, 1995).
pub(crate) const STRIDE: u64 = 1_000_000;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    draw: Option<Draw>,
    lanes: Vec<Lane>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    pub name: LaneName,
    waiting: RankSet,
    /// The furthest place called so far; 0 before the first call.
    pub called_through: Number,
    /// How many were called, ever.
    pub called: u64,
    /// Calls so far, each weighed by `STRIDE / weight`: the lane that has had least is next.
    pub virtual_time: u64,
}

impl Lane {
    pub fn waiting(&self) -> u64 {
        self.waiting.len()
    }
}

/// Where a waiting number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Which of [`Line::lanes`].
    pub lane: usize,
    pub place: Number,
    /// 1 is next in its lane.
    pub position: u64,
}

impl Line {
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(Lane::waiting).sum()
    }

    pub fn draw(&self) -> Option<&Draw> {
        self.draw.as_ref()
    }

    pub fn place(&self, number: Number) -> Number {
        self.draw.as_ref().map_or(number, |draw| draw.place(number))
    }

    fn number(&self, place: Number) -> Number {
        self.draw.as_ref().map_or(place, |draw| draw.number(place))
    }

    /// Where `number` stands, if it waits.
    pub fn spot(&self, number: Number) -> Option<Spot> {
        let place = self.place(number);
        let lane = self.lanes.iter().position(|lane| lane.waiting.contains(place))?;
        Some(Spot { lane, place, position: self.lanes[lane].waiting.rank(place) + 1 })
    }

    pub fn contains(&self, number: Number) -> bool {
        let place = self.place(number);
        self.lanes.iter().any(|lane| lane.waiting.contains(place))
    }

    /// Positions of many places of one lane, given in ascending order: one walk along the line.
    /// `None` for a place that does not wait.
    pub fn positions<'a>(
        &'a self,
        lane: usize,
        places: impl Iterator<Item = Number> + 'a,
    ) -> impl Iterator<Item = Option<u64>> + 'a {
        let lane = self.lanes.get(lane);
        let mut walk: Option<(Number, u64)> = None;
        places.map(move |place| {
            let set = &lane?.waiting;
            if !set.contains(place) {
                return None;
            }
            let rank = match walk {
                // Near the last one asked for: counting on beats a fresh descent.
                Some((last, rank)) if place >= last && place - last < 64 => {
                    rank + set.iter_from(last).take_while(|other| *other < place).count() as u64
                }
                _ => set.rank(place),
            };
            walk = Some((place, rank));
            Some(rank + 1)
        })
    }

    /// The next `count` numbers of a lane, in the order of being called.
    pub fn front(&self, lane: usize, count: u64) -> impl Iterator<Item = Number> + '_ {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.lanes
            .get(lane)
            .into_iter()
            .flat_map(|lane| lane.waiting.iter())
            .take(count)
            .map(|place| self.number(place))
    }

    /// Everyone who waits, lane after lane, in the order of being called.
    pub fn everyone(&self) -> impl Iterator<Item = Number> + '_ {
        (0..self.lanes.len()).flat_map(|lane| self.front(lane, u64::MAX))
    }

    pub(crate) fn arrive(&mut self, name: &LaneName, first: Number, last: Number) {
        let at = self.lanes.iter().position(|lane| lane.name == *name).unwrap_or_else(|| {
            self.lanes.push(Lane {
                name: name.clone(),
                waiting: RankSet::default(),
                called_through: 0,
                called: 0,
                virtual_time: 0,
            });
            self.lanes.len() - 1
        });
        if self.lanes[at].waiting.is_empty() {
            // Who was away saves up no turns.
            let others = self.lanes.iter().filter(|lane| !lane.waiting.is_empty());
            let floor = others.map(|lane| lane.virtual_time).min().unwrap_or(0);
            self.lanes[at].virtual_time = self.lanes[at].virtual_time.max(floor);
        }
        self.lanes[at].waiting.insert_range(first, last);
    }

    /// Puts a number that was given before back to its place in the default lane.
    pub(crate) fn reinstate(&mut self, number: Number) {
        let place = self.place(number);
        self.arrive(&LaneName::default_lane(), place, place);
    }

    pub(crate) fn leave(&mut self, number: Number) -> bool {
        let place = self.place(number);
        self.lanes.iter_mut().any(|lane| lane.waiting.remove(place))
    }

    /// Takes called numbers out of their lanes; says how many were waiting.
    pub(crate) fn call(&mut self, numbers: &Ranges, policy: &Policy) -> u64 {
        let mut called = 0;
        for number in numbers.numbers() {
            let place = self.place(number);
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.waiting.contains(place)) {
                lane.waiting.remove(place);
                lane.called_through = lane.called_through.max(place);
                lane.called += 1;
                lane.virtual_time += STRIDE / u64::from(policy.weight(&lane.name).max(1));
                called += 1;
            }
        }
        called
    }

    /// Puts everyone who waits at the place that was drawn.
    pub(crate) fn redraw(&mut self, draw: Draw) {
        for lane in &mut self.lanes {
            let mut places: Vec<_> = lane.waiting.iter().map(|number| draw.place(number)).collect();
            places.sort_unstable();
            let runs: crate::words::Ranges = places.into_iter().collect();
            lane.waiting = RankSet::default();
            runs.runs().iter().for_each(|[first, last]| lane.waiting.insert_range(*first, *last));
        }
        self.draw = Some(draw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lottery::Ingredients;

    fn line(last: Number) -> Line {
        let mut line = Line::default();
        line.arrive(&LaneName::default_lane(), 1, last);
        line
    }

    #[test]
    fn a_position_is_what_the_contract_says() {
        let mut line = line(10);
        line.leave(3);
        line.leave(8);
        line.call(&[1, 2].into_iter().collect(), &crate::contract::policy(5));
        // number - called_through - departed in between
        assert_eq!(line.spot(9).map(|spot| spot.position), Some(9 - 2 - 2));
        assert_eq!(line.spot(4).map(|spot| spot.position), Some(1));
        assert_eq!(line.spot(3), None);
        assert_eq!(line.lanes()[0].called_through, 2);
    }

    #[test]
    fn a_sweep_agrees_with_single_questions() {
        let mut line = line(2000);
        (1..2000).step_by(3).for_each(|number| assert!(line.leave(number)));
        let asked = || (1..2000).step_by(7);
        let swept: Vec<_> = line.positions(0, asked()).collect();
        let single: Vec<_> = asked().map(|n| line.spot(n).map(|spot| spot.position)).collect();
        assert_eq!(swept, single);
    }

    #[test]
    fn a_draw_reorders_those_who_wait_and_nobody_else() {
        let mut line = line(50);
        line.leave(7);
        line.redraw(Draw::new(50, &Ingredients { secret: b"s", list_root: [0; 32], beacon: b"" }));
        line.arrive(&LaneName::default_lane(), 51, 52);
        let order: Vec<_> = line.everyone().collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq((1..=52).filter(|n| *n != 7)));
        assert_ne!(order, (1..=52).filter(|n| *n != 7).collect::<Vec<_>>());
        assert_eq!(&order[49..], &[51, 52]);
        for (at, number) in order.iter().enumerate() {
            assert_eq!(line.spot(*number).map(|spot| spot.position), Some(at as u64 + 1));
        }
    }

    #[test]
    fn numbers_that_were_never_given_stand_nowhere() {
        let mut line = line(50);
        for drawn in [false, true] {
            if drawn {
                line.redraw(Draw::new(50, &Ingredients { secret: b"s", list_root: [0; 32], beacon: b"" }));
            }
            for number in [0, 51, 512, u64::MAX - 1, u64::MAX] {
                assert_eq!(line.spot(number), None);
                assert!(!line.contains(number) && !line.leave(number));
                let everywhere = line.positions(0, [number].into_iter());
                assert!(everywhere.eq([None]), "{number}");
            }
        }
    }
}
