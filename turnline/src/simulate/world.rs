//! What all visitors of one run share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jsonwebtoken::jwk::JwkSet;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::args::SimulateArgs;
use super::figures::Figures;
use super::http::Api;
use super::rules::{At, Fact, RoomWatch, Tally, Witness};
use super::shop::Shop;

/// About this many visitors, evenly spread, do the extra checks: rejoin, reload, audit.
const PROBED: usize = 200;

/// Live counts for the progress line.
#[derive(Default)]
pub struct Counts {
    pub joined: AtomicU64,
    pub waiting: AtomicU64,
    pub inside: AtomicU64,
    pub done: AtomicU64,
    pub ended: AtomicU64,
}

/// Checks of which one a run is enough.
#[derive(Default)]
pub struct Once {
    pub forged_ticket: AtomicBool,
    pub forged_pass: AtomicBool,
    pub passes_verified: AtomicU64,
    pub keys: OnceCell<Option<JwkSet>>,
}

/// One run.
pub struct World {
    pub args: SimulateArgs,
    pub seed: u64,
    pub api: Api,
    pub shop: Option<Shop>,
    pub counts: Counts,
    pub once: Once,
    began: Instant,
    witnesses: Vec<Mutex<Witness>>,
    tally: Mutex<Tally>,
    figures: Mutex<Figures>,
    watch: Mutex<RoomWatch>,
    remarks: Mutex<BTreeMap<String, u64>>,
    abandoned: Mutex<Vec<(usize, String)>>,
}

impl World {
    pub fn new(args: SimulateArgs, seed: u64, api: Api, shop: Option<Shop>) -> World {
        let witnesses = (0..args.visitors).map(|_| Mutex::default()).collect();
        World {
            args,
            seed,
            api,
            shop,
            counts: Counts::default(),
            once: Once::default(),
            began: Instant::now(),
            witnesses,
            tally: Mutex::default(),
            figures: Mutex::default(),
            watch: Mutex::default(),
            remarks: Mutex::default(),
            abandoned: Mutex::default(),
        }
    }

    pub fn now(&self) -> At {
        self.began.elapsed()
    }

    pub fn at(&self, moment: Instant) -> At {
        moment.saturating_duration_since(self.began)
    }

    /// Notes what visitor `index` did or saw.
    pub fn see(&self, index: usize, fact: Fact) {
        let now = self.now();
        if let Some(mut witness) = self.witness(index) {
            witness.see(fact, now, &mut self.tally());
        }
    }

    pub fn witness(&self, index: usize) -> Option<MutexGuard<'_, Witness>> {
        self.witnesses.get(index).map(held)
    }

    /// A copy of what everybody saw, for the judgement at the end.
    pub fn witnesses(&self) -> Vec<Witness> {
        self.witnesses.iter().map(|witness| held(witness).clone()).collect()
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        held(&self.tally)
    }

    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        held(&self.figures)
    }

    pub fn watch(&self) -> MutexGuard<'_, RoomWatch> {
        held(&self.watch)
    }

    /// Something the report should say beside the rules; alike remarks are counted.
    pub fn remark(&self, what: String) {
        let mut remarks = held(&self.remarks);
        // Bounded: what differs every time must not fill the report.
        if remarks.len() < 50 || remarks.contains_key(&what) {
            *remarks.entry(what).or_default() += 1;
        }
    }

    pub fn remarks(&self) -> BTreeMap<String, u64> {
        held(&self.remarks).clone()
    }

    /// Visitor `index` dropped the connection for good; the ticket is asked after at the end.
    pub fn abandoned(&self, index: usize, ticket: String) {
        self.see(index, Fact::Abandoned);
        held(&self.abandoned).push((index, ticket));
    }

    pub fn abandoned_tickets(&self) -> Vec<(usize, String)> {
        held(&self.abandoned).clone()
    }

    /// Whether visitor `index` does the extra checks.
    pub fn probed(&self, index: usize) -> bool {
        index.is_multiple_of((self.witnesses.len() / PROBED).max(1))
    }

    /// Whether the spread of a progress can be told from numbers and positions alone.
    pub fn line_is_plain(&self) -> bool {
        self.args.leave_fraction == 0.0 && self.args.abandon_fraction == 0.0
    }
}

impl Once {
    /// True for the first caller only.
    pub fn first(flag: &AtomicBool) -> bool {
        !flag.swap(true, Ordering::Relaxed)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
