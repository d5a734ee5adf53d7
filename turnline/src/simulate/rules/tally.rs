//! What checks looked at and found, whichever the checks are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::simulate::report::RuleReport;

/// Examples kept of each check.
const EXAMPLES: usize = 5;

/// One observable consequence of one rule, as a report names it.
pub trait Consequence: Copy + Ord + 'static {
    /// Every check, in the order of the report.
    const ALL: &'static [Self];

    /// The rule's number in the design's list.
    fn rule(self) -> u8;

    fn name(self) -> &'static str;

    /// What is looked at, for the report's reader.
    fn meaning(self) -> &'static str;
}

/// What a check has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub checked: u64,
    pub broken: u64,
    /// The first few, in words, with numbers and never with tickets or passes.
    pub examples: Vec<String>,
}

/// Findings of all checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally<C: Ord>(BTreeMap<C, Found>);

impl<C: Ord> Default for Tally<C> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C: Consequence> Tally<C> {
    pub fn judge(&mut self, check: C, holds: bool, example: impl FnOnce() -> String) {
        let found = self.0.entry(check).or_default();
        found.checked += 1;
        if !holds {
            found.broken += 1;
            if found.examples.len() < EXAMPLES {
                found.examples.push(example());
            }
        }
    }

    /// Adds what another process found.
    pub fn add(&mut self, other: Self) {
        for (check, more) in other.0 {
            let found = self.0.entry(check).or_default();
            found.checked += more.checked;
            found.broken += more.broken;
            let room = EXAMPLES.saturating_sub(found.examples.len());
            found.examples.extend(more.examples.into_iter().take(room));
        }
    }

    /// Takes a check back whose ground turned out not to be given.
    pub fn forget(&mut self, check: C) {
        self.0.remove(&check);
    }

    pub fn of(&self, check: C) -> Found {
        self.0.get(&check).cloned().unwrap_or_default()
    }

    pub fn broken(&self) -> u64 {
        self.0.values().map(|found| found.broken).sum()
    }

    /// Every check with what it found.
    pub fn report(&self) -> Vec<RuleReport> {
        let report = |check: &C| {
            let found = self.of(*check);
            RuleReport {
                rule: check.rule(),
                check: check.name(),
                meaning: check.meaning(),
                checked: found.checked,
                broken: found.broken,
                examples: found.examples,
            }
        };
        C::ALL.iter().map(report).collect()
    }
}
