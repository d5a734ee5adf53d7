//! Latencies of those who wait: small histograms that travel between processes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::clock::Micros;
use crate::simulate::figures::{Timing, quantiles_of};
use crate::simulate::report::Latency;

/// Longest latency told apart.
const LONGEST: Micros = 600_000_000;
/// Steps of 1 %: 15 KiB a histogram instead of 120.
const DIGITS: u8 = 2;

/// A latency with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Join,
    JoinWhole,
    Connect,
    FirstWord,
    PushNear,
    PushAll,
    PushInStorm,
    FigureAge,
    Back,
    ExtraJoinCalm,
    ExtraJoinStorm,
    Poll,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Join => Timing::Join.name(),
            Kind::JoinWhole => Timing::JoinWhole.name(),
            Kind::Connect => Timing::Connect.name(),
            Kind::FirstWord => "first_word",
            Kind::PushNear => Timing::PushNear.name(),
            Kind::PushAll => Timing::PushAll.name(),
            Kind::PushInStorm => "push_in_storm",
            Kind::FigureAge => "figure_age",
            Kind::Back => "back_after_storm",
            Kind::ExtraJoinCalm => "extra_join_calm",
            Kind::ExtraJoinStorm => "extra_join_storm",
            Kind::Poll => "poll",
        }
    }

    /// How it is measured, for the report's reader.
    pub fn meaning(self) -> &'static str {
        match self {
            Kind::Join => Timing::Join.meaning(),
            Kind::JoinWhole => Timing::JoinWhole.meaning(),
            Kind::Connect => Timing::Connect.meaning(),
            Kind::FirstWord => "TCP connect to the first message on the channel",
            Kind::PushNear => Timing::PushNear.meaning(),
            Kind::PushAll => Timing::PushAll.meaning(),
            Kind::PushInStorm => "the same, from the storm until all were back",
            Kind::FigureAge => {
                "how long a visitor's position had been overtaken, as told to others, when its next one came"
            }
            Kind::Back => "the storm to the first message on the new channel, refusals and pauses included",
            Kind::ExtraJoinCalm => {
                "an extra visitor's arrival to join answered, retries included, before the storm"
            }
            Kind::ExtraJoinStorm => "the same, from the storm until all were back",
            Kind::Poll => "tickets/me sent to answered",
        }
    }
}

/// A histogram on its way: values and how often.
pub type Packed = BTreeMap<Kind, Vec<(Micros, u64)>>;

/// Every latency measured.
#[derive(Default)]
pub struct Measured(BTreeMap<Kind, Histogram<u64>>);

impl Measured {
    pub fn took(&mut self, kind: Kind, took: Micros) {
        self.record(kind, took, 1);
    }

    pub fn pack(&self) -> Packed {
        let values = |histogram: &Histogram<u64>| {
            histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
        };
        self.0.iter().map(|(kind, histogram)| (*kind, values(histogram))).collect()
    }

    pub fn add(&mut self, packed: &Packed) {
        for (kind, values) in packed {
            values.iter().for_each(|(value, count)| self.record(*kind, *value, *count));
        }
    }

    /// Every latency that was measured at least once.
    pub fn report(&self) -> Vec<Latency> {
        let latency = |(kind, histogram): (&Kind, &Histogram<u64>)| {
            let quantiles = quantiles_of(histogram)?;
            Some(Latency { name: kind.name(), meaning: kind.meaning(), quantiles })
        };
        self.0.iter().filter_map(latency).collect()
    }

    fn record(&mut self, kind: Kind, took: Micros, count: u64) {
        if !self.0.contains_key(&kind)
            && let Ok(fresh) = Histogram::new_with_bounds(1, LONGEST, DIGITS)
        {
            self.0.insert(kind, fresh);
        }
        if let Some(histogram) = self.0.get_mut(&kind) {
            // Within its bounds nothing can be refused.
            let _ = histogram.record_n(took.clamp(1, LONGEST), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_several_processes_are_one() {
        let mut all = Measured::default();
        for start in [0, 500] {
            let mut own = Measured::default();
            for millis in start..start + 500 {
                own.took(Kind::PushAll, millis * 1000);
            }
            let text = serde_json::to_string(&own.pack()).unwrap();
            all.add(&serde_json::from_str(&text).unwrap());
        }
        let report = all.report();
        let push = report.first().unwrap();
        assert_eq!((push.name, push.quantiles.count), ("push_all", 1000));
        assert!((push.quantiles.p50_ms - 500.0).abs() < 10.0, "{push:?}");
        assert!((push.quantiles.max_ms - 999.0).abs() < 20.0, "{push:?}");
    }
}
