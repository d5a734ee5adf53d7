//! What is measured: latencies in histograms, and the moments that rates are made of.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::{Counter, Histogram};
use serde::Serialize;

use super::rules::At;

/// Who stands within this many places hears every change; further back the server may slow down.
const NEAR: u64 = 200;
/// Longest latency told apart, in microseconds.
const LONGEST_MICROS: u64 = 600_000_000;

/// A latency with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timing {
    Join,
    JoinWhole,
    Connect,
    PushNear,
    PushAll,
    ReleaseToAdmitted,
    Hold,
    Charge,
    Pay,
}

impl Timing {
    pub const ALL: [Timing; 9] = [
        Timing::Join,
        Timing::JoinWhole,
        Timing::Connect,
        Timing::PushNear,
        Timing::PushAll,
        Timing::ReleaseToAdmitted,
        Timing::Hold,
        Timing::Charge,
        Timing::Pay,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Timing::Join => "join",
            Timing::JoinWhole => "join_whole",
            Timing::Connect => "channel_connect",
            Timing::PushNear => "push_near",
            Timing::PushAll => "push_all",
            Timing::ReleaseToAdmitted => "release_to_admitted",
            Timing::Hold => "hold",
            Timing::Charge => "charge",
            Timing::Pay => "pay",
        }
    }

    /// How it is measured, for the report's reader.
    pub fn meaning(self) -> &'static str {
        match self {
            Timing::Join => "join sent to answered (the attempt that was answered)",
            Timing::JoinWhole => {
                "visitor's arrival to join answered, with retries and the simulator's own limit of calls at once"
            }
            Timing::Connect => "TCP connect to the channel's upgrade answered",
            Timing::PushNear => {
                "how much later than the first visitor another one heard the same progress of the line (number - position), within the first 200 places"
            }
            Timing::PushAll => "the same over all places, where the server may push more rarely on purpose",
            Timing::ReleaseToAdmitted => {
                "payment (or giving back) answered to the `admitted` message that took the slot, matched in order; 0 when the message came first"
            }
            Timing::Hold => "seat hold sent to answered 201",
            Timing::Charge => "balance charge sent to answered",
            Timing::Pay => "payment sent to answered 201",
        }
    }
}

/// Quantiles of one latency, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// A span of events, for a rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub count: u64,
    first: Option<At>,
    last: Option<At>,
}

impl Span {
    pub fn mark(&mut self, from: At, to: At) {
        self.count += 1;
        self.first = Some(self.first.map_or(from, |first| first.min(from)));
        self.last = Some(self.last.map_or(to, |last| last.max(to)));
    }

    /// Events a second from the first one's start to the last one's end.
    pub fn per_second(&self) -> Option<f64> {
        let seconds = self.last?.saturating_sub(self.first?).as_secs_f64();
        (seconds > 0.0).then(|| self.count as f64 / seconds)
    }
}

/// A slot given free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    pub asked: At,
    pub answered: At,
    /// Somebody was waiting for it.
    pub wanted: bool,
}

/// Everything measured in one run.
#[derive(Default)]
pub struct Figures {
    timings: BTreeMap<Timing, Histogram<u32>>,
    pub joins: Span,
    pub admissions: Span,
    pub pushes: Span,
    releases: Vec<Release>,
    admitted_at: Vec<At>,
    /// When a progress of the line was heard first.
    progress: BTreeMap<u64, At>,
    pub reconnects: u64,
    pub retried_calls: u64,
    pub ended_unheard: u64,
}

impl Figures {
    pub fn took(&mut self, timing: Timing, took: At) {
        if !self.timings.contains_key(&timing)
            && let Ok(fresh) = Histogram::new_with_bounds(1, LONGEST_MICROS, 3)
        {
            self.timings.insert(timing, fresh);
        }
        if let Some(histogram) = self.timings.get_mut(&timing) {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_MICROS).max(1));
        }
    }

    pub fn admitted(&mut self, at: At) {
        self.admissions.mark(at, at);
        self.admitted_at.push(at);
    }

    pub fn released(&mut self, release: Release) {
        self.releases.push(release);
    }

    /// A push told `number` that it stands at `position`, and that was news on this connection.
    pub fn moved(&mut self, number: u64, position: u64, at: At) {
        let progress = number.saturating_sub(position);
        match self.progress.get(&progress) {
            None => {
                self.progress.insert(progress, at);
            }
            Some(first) => {
                let late = at.saturating_sub(*first);
                self.took(Timing::PushAll, late);
                if position <= NEAR {
                    self.took(Timing::PushNear, late);
                }
            }
        }
    }

    /// Matches releases with the admissions that took their slots; `free` slots were open at the start.
    pub fn match_releases(&mut self, free: u64) {
        for late in matched(&mut self.releases, &mut self.admitted_at, free) {
            self.took(Timing::ReleaseToAdmitted, late);
        }
    }

    pub fn quantiles(&self, timing: Timing) -> Option<Quantiles> {
        quantiles_of(self.timings.get(&timing)?)
    }
}

/// The quantiles of a histogram of microseconds; absent when it is empty.
pub fn quantiles_of<C: Counter>(histogram: &Histogram<C>) -> Option<Quantiles> {
    let at = |q: f64| histogram.value_at_quantile(q) as f64 / 1000.0;
    (!histogram.is_empty()).then(|| Quantiles {
        count: histogram.len(),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        max_ms: histogram.max() as f64 / 1000.0,
    })
}

/// Admissions take open slots first: the first `free` ones, and those nobody waited for when they were
/// released. Beyond that, the oldest release asked for by the time of an admission made room for it.
fn matched(releases: &mut [Release], admitted: &mut [At], free: u64) -> Vec<At> {
    releases.sort_unstable();
    admitted.sort_unstable();
    let (mut open, mut free) = (releases.iter().peekable(), free);
    let mut wanted = VecDeque::new();
    let mut latencies = Vec::new();
    for at in admitted.iter() {
        while let Some(release) = open.next_if(|release| release.asked <= *at) {
            if release.wanted {
                wanted.push_back(release.answered);
            } else {
                free += 1;
            }
        }
        if free > 0 {
            free -= 1;
        } else if let Some(answered) = wanted.pop_front() {
            latencies.push(at.saturating_sub(answered));
        }
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> At {
        At::from_millis(millis)
    }

    fn wanted(millis: u64) -> Release {
        Release { asked: ms(millis), answered: ms(millis + 10), wanted: true }
    }

    #[test]
    fn a_slot_that_stood_open_tells_nothing_about_the_server() {
        let mut releases = [Release { wanted: false, ..wanted(100) }, wanted(900)];
        let mut admitted = [ms(5), ms(800), ms(912)];
        assert_eq!(matched(&mut releases, &mut admitted, 1), [ms(2)]);
    }

    #[test]
    fn quantiles_are_in_milliseconds() {
        let mut figures = Figures::default();
        assert!(figures.quantiles(Timing::Join).is_none());
        for millis in 1..=100 {
            figures.took(Timing::Join, ms(millis));
        }
        let join = figures.quantiles(Timing::Join).unwrap();
        assert_eq!(join.count, 100);
        assert!((join.p50_ms - 50.0).abs() < 0.2, "{join:?}");
        assert!((join.p99_ms - 99.0).abs() < 0.2, "{join:?}");
        assert!((join.max_ms - 100.0).abs() < 0.2, "{join:?}");
    }

    #[test]
    fn releases_meet_the_admissions_that_took_their_slots() {
        let mut releases = [wanted(200), wanted(100)];
        let mut admitted = [ms(115), ms(5), ms(6), ms(205)];
        assert_eq!(matched(&mut releases, &mut admitted, 2), [ms(5), ms(0)]);
    }

    #[test]
    fn an_admission_that_no_release_made_room_for_is_left_out() {
        let mut releases = [wanted(300)];
        let mut admitted = [ms(5), ms(100), ms(320)];
        assert_eq!(matched(&mut releases, &mut admitted, 1), [ms(10)]);
    }

    #[test]
    fn the_spread_of_one_progress_is_measured_from_who_heard_it_first() {
        let mut figures = Figures::default();
        figures.moved(10, 4, ms(1000));
        figures.moved(11, 5, ms(1003));
        figures.moved(900, 894, ms(1500));
        let (near, all) =
            (figures.quantiles(Timing::PushNear).unwrap(), figures.quantiles(Timing::PushAll).unwrap());
        assert_eq!((near.count, all.count), (1, 2));
        assert!((near.max_ms - 3.0).abs() < 0.1 && (all.max_ms - 500.0).abs() < 1.0);
    }

    #[test]
    fn a_rate_is_over_the_span_of_its_events() {
        let mut span = Span::default();
        assert!(span.per_second().is_none());
        for second in 0..10 {
            span.mark(At::from_secs(second), At::from_secs(second + 1));
        }
        assert_eq!(span.per_second(), Some(1.0));
    }
}
