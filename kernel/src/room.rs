//! A room as the fold of its events. [`RoomState`] is what every node follows; [`Room`] adds what only
//! the store needs (who ended how, who is known by what) and the store's verbs, which decide nothing:
//! they check a guard, record events, and apply them by the same fold that a rebuild uses.

mod audit;
mod checkpoint;
mod identities;
mod state;
mod tentative;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::event::v1::{Arrival, Drawn, LaneRun};
use crate::event::{RoomEvent, RoomFact};
use crate::policy::Policy;
use crate::session::{Next, Session};
use crate::words::{Digest, EndReason, LaneName, Number, Ranges, RoomId, Timestamp};
pub use audit::RoomFault;
pub use checkpoint::{Checkpoint, surviving};
use identities::{Endings, Identities};
pub use state::{Fold, RoomCounts, RoomState, Standing, Summary};
pub use tentative::Tentative;

/// Runs of numbers in one event at most (about 24 bytes each in JSON: far below any message limit).
const RUNS_PER_EVENT: usize = 1_000;

/// The whole of a room, as its store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Room {
    state: RoomState,
    endings: Endings,
    identities: Identities,
    #[serde(skip)]
    fresh: Vec<RoomEvent>,
}

/// One visitor's wish to join.
#[derive(Debug, Clone)]
pub struct Join {
    pub lane: LaneName,
    /// The number of the valid ticket that was shown.
    pub holding: Option<Number>,
    /// Hash of (room, the visitor token's `sub`).
    pub visitor: Option<Digest>,
    /// Hash of (room, visitor, idempotency key).
    pub key: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    New(Number),
    /// The place already held: by ticket, by key, or by visitor.
    Held(Number),
    Closed,
    Full,
    /// The operator took this visitor's place away.
    Revoked,
    /// Ticket, key and visitor name different places.
    Conflict,
}

/// What a call from the line may do at most; the store refuses what would go beyond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How many from each lane, as [`crate::admission::share`] gave them.
    pub per_lane: Vec<u64>,
    /// The `called` total the decision was made on: another caller's decision in between loses the race.
    pub called_before: u64,
    /// The capacity the decision was made on; one that was lowered since counts instead.
    pub active_max: u64,
    pub claim_by: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    Numbers(Ranges),
    /// Somebody else called since, or the room changed: decide again on fresh counts.
    LostRace,
}

/// A visitor with a valid ticket that the room does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returning {
    pub number: Number,
    /// Hash of (room, the visitor token's `sub`), of a ticket that carries one.
    pub visitor: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// The session is another than expected; absent when it has ended or never was.
    Other(Option<Session>),
}

impl Room {
    /// How long an idempotency key names its place.
    pub const KEY_SECONDS: u64 = 600;

    pub fn new(id: RoomId, policy: Policy, lottery_commitment: Option<String>, now: Timestamp) -> Self {
        let state = RoomState::new(id, policy.clone(), now);
        let mut room =
            Self { state, endings: Endings::default(), identities: Identities::default(), fresh: Vec::new() };
        room.record(RoomFact::RoomConfigured { policy, lottery_commitment }, now);
        room
    }

    /// A room from its first event on; `None` when the events do not begin with its configuration.
    pub fn from_first(event: &RoomEvent) -> Option<Self> {
        let RoomFact::RoomConfigured { policy, .. } = &event.fact else { return None };
        let state = RoomState::new(event.room.clone(), policy.clone(), event.at);
        let mut room =
            Self { state, endings: Endings::default(), identities: Identities::default(), fresh: Vec::new() };
        room.apply(event);
        Some(room)
    }

    pub fn state(&self) -> &RoomState {
        &self.state
    }

    /// The events recorded since the last time, for the log; the caller keeps them or the room is lost.
    pub fn take_events(&mut self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.fresh)
    }

    /// Follows an event that is already in the log.
    pub fn apply(&mut self, event: &RoomEvent) {
        if self.state.apply(event) == Fold::Applied {
            self.endings.apply(event);
            self.identities.apply(event);
        }
    }

    pub fn configure(&mut self, policy: &Policy, now: Timestamp) {
        if self.state.policy != *policy {
            let lottery_commitment = self.state.lottery_commitment.clone();
            self.record(RoomFact::RoomConfigured { policy: policy.clone(), lottery_commitment }, now);
        }
    }

    /// Changes the control state if it still is `from`. `drawn` orders by lot those who had come when it
    /// was drawn; who came since stands behind them, in order.
    pub fn control(&mut self, from: Control, to: Control, drawn: Option<Drawn>, now: Timestamp) -> bool {
        let nobody_yet = drawn.as_ref().is_some_and(|drawn| drawn.frozen > self.state.issued);
        if self.state.control != from || nobody_yet {
            return false;
        }
        if from != to {
            let notice = self.state.notice.clone();
            self.record(RoomFact::RoomStateChanged { state: to, notice, drawn }, now);
        }
        if to == Control::Closed && self.state.line.waiting() > 0 {
            let everyone: Ranges = self.state.line.everyone().collect();
            self.record_departed(&everyone, EndReason::RoomClosed, now);
        }
        true
    }

    pub fn notice(&mut self, notice: Option<String>, now: Timestamp) {
        if self.state.notice != notice {
            let state = self.state.control;
            self.record(RoomFact::RoomStateChanged { state, notice, drawn: None }, now);
        }
    }

    /// Gives each a number, or the place already held. Numbers follow the order of the batch.
    pub fn join(&mut self, batch: &[Join], now: Timestamp) -> Vec<Joined> {
        // A place that is shown and was lost is there again before anybody looks for it.
        for join in batch {
            if let Some(number) = join.holding {
                self.reinstate(Returning { number, visitor: join.visitor }, now);
            }
        }
        let mut fresh = FreshNumbers::default();
        let first = self.state.issued + 1;
        let answers = batch
            .iter()
            .map(|join| {
                self.held(join, &fresh, now).unwrap_or_else(|| {
                    let waiting = self.state.line.waiting() + fresh.count();
                    if self.state.control == Control::Closed {
                        Joined::Closed
                    } else if self.state.policy.max_waiting.is_some_and(|most| waiting >= most) {
                        Joined::Full
                    } else {
                        Joined::New(fresh.give(first, join))
                    }
                })
            })
            .collect();
        if fresh.count() > 0 {
            let last = first + fresh.count() - 1;
            let only_default = fresh.lanes.iter().all(|run| run.lane.is_default());
            let lanes = if only_default { Vec::new() } else { fresh.lanes };
            self.record(RoomFact::WaitingTokensIssued { first, last, lanes, visitors: fresh.known }, now);
        }
        answers
    }

    /// Puts a number back to its place that may have been given and was never told, because the store lost
    /// the room in between; any other number stays as it is. A visitor who has joined again since keeps
    /// the new place only.
    pub fn reinstate(&mut self, returning: Returning, now: Timestamp) {
        let Returning { number, visitor } = returning;
        let elsewhere = visitor.and_then(|visitor| self.identities.visitor(visitor));
        if !self.state.unheard.contains(number) || elsewhere.is_some() {
            return;
        }
        let known = visitor.map(|_| Arrival { number, visitor, key: None });
        let visitors = known.into_iter().collect();
        self.record(RoomFact::WaitingTokensReinstated { ranges: Ranges::one(number), visitors }, now);
        if self.state.control == Control::Closed {
            self.record_departed(&Ranges::one(number), EndReason::RoomClosed, now);
        }
    }

    /// Goes on from the log after the store lost the room: `through` is the highest number that may have
    /// been given, `seq` that of the event that says so, far above any that may have been used.
    pub fn rebuilt(&mut self, seq: u64, through: Number, now: Timestamp) {
        let fact = RoomFact::RoomRebuilt { through_seq: self.state.seq, issued: through };
        let event = RoomEvent { room: self.state.id.clone(), seq, at: now, fact };
        self.apply(&event);
        self.fresh.push(event);
    }

    pub fn standing(&self, number: Number) -> Standing {
        match self.state.standing(number) {
            Standing::Unknown => self.endings.reason(number).map_or(Standing::Unknown, Standing::Ended),
            other => other,
        }
    }

    /// Takes those out of the line who still wait; says who they were.
    pub fn depart(&mut self, numbers: &Ranges, reason: EndReason, now: Timestamp) -> Ranges {
        let gone: Ranges = numbers.numbers().filter(|number| self.state.line.contains(*number)).collect();
        self.record_departed(&gone, reason, now);
        gone
    }

    /// Calls the next from each lane, unless the counts moved on since the decision.
    pub fn call_next(&mut self, call: &Call, now: Timestamp) -> Called {
        let wanted: u64 = call.per_lane.iter().sum();
        let most = call.active_max.min(self.state.policy.capacity);
        let fits = self.state.active() + wanted <= most;
        if self.state.control != Control::Open || self.state.called != call.called_before || !fits {
            return Called::LostRace;
        }
        let mut numbers = Ranges::default();
        for (lane, count) in call.per_lane.iter().enumerate() {
            self.state.line.front(lane, *count).for_each(|number| numbers.push(number));
        }
        for ranges in numbers.chunks(RUNS_PER_EVENT) {
            self.record(RoomFact::ActiveTokensIssued { ranges, claim_by: call.claim_by }, now);
        }
        Called::Numbers(numbers)
    }

    /// Puts what [`crate::session::step`] decided in place of the session it was decided on.
    pub fn swap_session(&mut self, number: Number, from: Session, to: Next, now: Timestamp) -> Swapped {
        let held = self.state.sessions.get(&number).copied();
        if held != Some(from) {
            return Swapped::Other(held);
        }
        let fact = match to {
            Next::Same => return Swapped::Done,
            Next::Claimed(session) => RoomFact::ActiveTokenClaimed { number, expires_at: session.due_at() },
            Next::Renewed(session) => RoomFact::ActiveTokenRenewed { number, expires_at: session.due_at() },
            Next::Ended(reason) => RoomFact::ActiveTokenReleased { number, reason },
        };
        self.record(fact, now);
        Swapped::Done
    }

    /// Sessions whose time to be looked at has come, the earliest first.
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<(Number, Session)> {
        let mut due: Vec<_> =
            self.state.sessions.iter().filter(|(_, s)| s.due_at() <= now).map(|(n, s)| (*n, *s)).collect();
        due.sort_by_key(|(number, session)| (session.due_at(), *number));
        due.truncate(limit);
        due
    }

    /// Tells how the room stands, once a change; false when nothing changed since the last time.
    pub fn progress(&mut self, rate: u64, now: Timestamp) -> bool {
        if self.state.told.as_ref().is_some_and(|told| told.version == self.state.seq && told.rate == rate) {
            return false;
        }
        let departed = self.state.departed;
        let departed_delta = departed - self.state.told.as_ref().map_or(0, |told| told.departed);
        let fact = RoomFact::RoomProgressed {
            version: self.state.seq,
            state: self.state.control,
            called_through: self.state.line.lanes().first().map_or(0, |lane| lane.called_through),
            departed_delta,
            waiting: self.state.line.waiting(),
            active: self.state.active(),
            rate,
        };
        self.record(fact, now);
        true
    }

    /// The place that a join names, also among the numbers about to be given: a batch is no other than its
    /// joins one after another.
    fn held(&self, join: &Join, fresh: &FreshNumbers, now: Timestamp) -> Option<Joined> {
        let visitor = |visitor| fresh.twin(visitor).or_else(|| self.identities.visitor(visitor));
        let key = |key| fresh.twin(key).or_else(|| self.identities.key(key, now));
        let named = [join.holding, join.visitor.and_then(visitor), join.key.and_then(key)];
        let revoked = |number| self.standing(number) == Standing::Ended(EndReason::Revoked);
        if named.iter().flatten().any(|number| revoked(*number)) {
            return Some(Joined::Revoked);
        }
        let holds = |number: &Number| fresh.gave(*number) || self.state.holds(*number);
        let mut live = named.into_iter().flatten().filter(holds);
        let first = live.next()?;
        Some(if live.all(|other| other == first) { Joined::Held(first) } else { Joined::Conflict })
    }

    fn record_departed(&mut self, numbers: &Ranges, reason: EndReason, now: Timestamp) {
        for ranges in numbers.chunks(RUNS_PER_EVENT) {
            self.record(RoomFact::WaitingTokensDeparted { ranges, reason }, now);
        }
    }

    fn record(&mut self, fact: RoomFact, at: Timestamp) {
        let event = RoomEvent { room: self.state.id.clone(), seq: self.state.seq + 1, at, fact };
        self.apply(&event);
        self.fresh.push(event);
    }
}

/// The numbers a batch is about to be given.
#[derive(Default)]
struct FreshNumbers {
    lanes: Vec<LaneRun>,
    known: Vec<Arrival>,
    /// By visitor and by key; digests of the two never meet.
    twins: HashMap<Digest, Number>,
}

impl FreshNumbers {
    fn count(&self) -> u64 {
        self.lanes.iter().map(|run| run.last - run.first + 1).sum()
    }

    fn give(&mut self, first: Number, join: &Join) -> Number {
        let number = self.lanes.last().map_or(first, |run| run.last + 1);
        match self.lanes.last_mut() {
            Some(run) if run.lane == join.lane => run.last = number,
            _ => self.lanes.push(LaneRun { lane: join.lane.clone(), first: number, last: number }),
        }
        if join.visitor.is_some() || join.key.is_some() {
            self.known.push(Arrival { number, visitor: join.visitor, key: join.key });
            self.twins.extend(join.visitor.iter().chain(&join.key).map(|digest| (*digest, number)));
        }
        number
    }

    fn gave(&self, number: Number) -> bool {
        let first = self.lanes.first().map(|run| run.first);
        let last = self.lanes.last().map(|run| run.last);
        first.is_some_and(|first| first <= number) && last.is_some_and(|last| number <= last)
    }

    fn twin(&self, digest: Digest) -> Option<Number> {
        self.twins.get(&digest).copied()
    }
}
