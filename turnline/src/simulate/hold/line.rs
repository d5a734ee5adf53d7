//! How far the line has come, and when that was first heard: what lateness is measured against.

use std::collections::VecDeque;

use super::clock::Micros;

/// The progress of a plain line is `number - position`: how many numbers up to one's own have gone. It is the
/// same for all who wait, so whoever hears it later than another was told later.
#[derive(Debug, Default)]
pub struct Line {
    /// Progress and when it was first heard, both ascending.
    marks: VecDeque<(u64, Micros)>,
}

impl Line {
    /// Somebody heard `progress`; when it, or something beyond it, was first heard. Absent for the first.
    pub fn heard(&mut self, progress: u64, at: Micros) -> Option<Micros> {
        let spot = self.marks.partition_point(|(known, _)| *known < progress);
        match self.marks.get(spot) {
            None => {
                self.marks.push_back((progress, at));
                None
            }
            Some((known, first)) if *known == progress => Some(*first),
            // Somebody had heard of more by then.
            Some((_, beyond)) => {
                let beyond = *beyond;
                self.marks.insert(spot, (progress, beyond));
                Some(beyond)
            }
        }
    }

    /// Since when `progress` is no longer the newest; absent while it is.
    pub fn outdated_since(&self, progress: u64) -> Option<Micros> {
        let spot = self.marks.partition_point(|(known, _)| *known <= progress);
        self.marks.get(spot).map(|(_, first)| *first)
    }

    pub fn newest(&self) -> Option<u64> {
        self.marks.back().map(|(progress, _)| *progress)
    }

    /// Forgets what was overtaken before `moment`; the newest always stays.
    pub fn forget_before(&mut self, moment: Micros) {
        while self.marks.get(1).is_some_and(|(_, next)| *next < moment) {
            self.marks.pop_front();
        }
    }

    /// The newest `count` marks.
    pub fn tail(&self, count: usize) -> Vec<(u64, Micros)> {
        self.marks.iter().skip(self.marks.len().saturating_sub(count)).copied().collect()
    }

    /// One line of what several heard of it: each progress as it was first heard by any of them.
    pub fn merged(tails: &[Vec<(u64, Micros)>]) -> Line {
        let mut marks: Vec<(u64, Micros)> = tails.iter().flatten().copied().collect();
        marks.sort_unstable();
        marks.dedup_by_key(|(progress, _)| *progress);
        // Whoever heard of more had, by then, heard of less.
        let mut earliest = Micros::MAX;
        for (_, first) in marks.iter_mut().rev() {
            earliest = earliest.min(*first);
            *first = earliest;
        }
        Line { marks: marks.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_hear_sets_the_mark() {
        let mut line = Line::default();
        assert_eq!(line.heard(10, 100), None);
        assert_eq!(line.heard(10, 130), Some(100));
        assert_eq!(line.heard(20, 200), None);
        assert_eq!(line.heard(15, 210), Some(200), "late by what was known beyond it");
        assert_eq!(line.heard(15, 230), Some(200));
        assert_eq!(line.newest(), Some(20));
    }

    #[test]
    fn a_figure_ages_from_the_first_word_of_a_newer_one() {
        let mut line = Line::default();
        line.heard(10, 100);
        assert_eq!(line.outdated_since(10), None);
        line.heard(20, 200);
        line.heard(30, 300);
        assert_eq!(line.outdated_since(10), Some(200));
        assert_eq!(line.outdated_since(5), Some(100));
        assert_eq!(line.outdated_since(30), None);
        line.forget_before(250);
        assert_eq!(line.tail(9), [(20, 200), (30, 300)]);
        line.forget_before(9_999);
        assert_eq!(line.tail(9), [(30, 300)]);
        assert_eq!(line.tail(0), []);
    }

    #[test]
    fn what_several_heard_becomes_one_line() {
        let line = Line::merged(&[vec![(10, 100), (20, 260)], vec![(10, 90), (15, 300), (20, 250)]]);
        assert_eq!(line.tail(9), [(10, 90), (15, 250), (20, 250)]);
    }
}
