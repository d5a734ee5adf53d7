//! What every node knows of a room, followed event by event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::admission::{Counts, LaneCount, Pace};
use crate::control::{Control, Order};
use crate::event::v1::Drawn;
use crate::event::{RoomEvent, RoomFact};
use crate::line::{Line, Spot};
use crate::lottery::{Draw, Ingredients};
use crate::outflow::expected_per_hour;
use crate::policy::Policy;
use crate::rank_set::RankSet;
use crate::session::Session;
use crate::words::{LaneName, Number, RoomId, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomState {
    pub id: RoomId,
    /// The last event applied; the room's version.
    pub seq: u64,
    pub control: Control,
    /// When the room was last opened after having been closed.
    pub reopened_at: Option<Timestamp>,
    pub policy: Policy,
    pub notice: Option<String>,
    /// The last number given.
    pub issued: Number,
    /// Numbers that may have been given and were never told, since the store lost the room; who shows a
    /// ticket with one of them is reinstated.
    #[serde(default)]
    pub unheard: RankSet,
    pub line: Line,
    /// Called and active visitors.
    pub sessions: BTreeMap<Number, Session>,
    /// Called so far, ever.
    pub called: u64,
    /// Left the line without being called, ever.
    pub departed: u64,
    pub pace: Pace,
    /// Visitors called an hour, as last told.
    pub per_hour: u64,
    pub lottery_commitment: Option<String>,
    pub drawn: Option<Drawn>,
    pub(super) told: Option<Told>,
}

/// What the last progress said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub version: u64,
    pub rate: u64,
    pub departed: u64,
}

/// Where a number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Never given, or ended (which a node does not keep).
    Unknown,
    /// Waits for the opening; has no position yet.
    Prequeue,
    Waiting(Spot),
    Session(Session),
    Ended(crate::words::EndReason),
}

/// A room in a few figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub control: Control,
    pub version: u64,
    pub issued: Number,
    pub waiting: u64,
    pub active: u64,
    pub capacity: u64,
    pub called: u64,
    pub departed: u64,
    pub per_hour: u64,
    pub notice: Option<String>,
}

/// What admission, the opening and the estimate are decided on: counts of one moment, never the line itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCounts {
    pub counts: Counts,
    /// Called so far, ever: the guard of [`crate::room::Call`].
    pub called: u64,
    /// The last number given: who takes part in a draw.
    pub issued: Number,
    /// A room that was opened again after its `closes_at` stays open.
    pub reopened_at: Option<Timestamp>,
    pub policy: Policy,
}

impl RoomCounts {
    /// What the room's own times ask of it now.
    pub fn scheduled(&self, now: Timestamp) -> Option<Order> {
        let closes = self
            .policy
            .closes_at
            .filter(|closes| *closes <= now && self.reopened_at.is_none_or(|reopened| reopened < *closes));
        match self.counts.control {
            Control::Closed => None,
            Control::Prequeue | Control::Open | Control::Paused if closes.is_some() => Some(Order::Close),
            Control::Prequeue if self.policy.opens_at.is_none_or(|opens| opens <= now) => Some(Order::Open),
            Control::Prequeue | Control::Open | Control::Paused => None,
        }
    }

    /// The next of the room's own times after `now`.
    pub fn next_scheduled(&self, now: Timestamp) -> Option<Timestamp> {
        [self.policy.opens_at, self.policy.closes_at].into_iter().flatten().filter(|at| *at > now).min()
    }
}

/// What became of an event that was offered to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    Applied,
    /// Seen before: at-least-once delivery.
    Old,
    /// Events are missing in between: follow from a snapshot again.
    Gap,
}

impl RoomState {
    pub fn new(id: RoomId, policy: Policy, now: Timestamp) -> Self {
        let later = policy.opens_at.is_some_and(|opens| opens > now);
        Self {
            id,
            seq: 0,
            control: if later { Control::Prequeue } else { Control::Open },
            reopened_at: None,
            per_hour: expected_per_hour(&policy),
            policy,
            notice: None,
            issued: 0,
            unheard: RankSet::default(),
            line: Line::default(),
            sessions: BTreeMap::new(),
            called: 0,
            departed: 0,
            pace: Pace::default(),
            lottery_commitment: None,
            drawn: None,
            told: None,
        }
    }

    /// Called and active visitors.
    pub fn active(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// Whether a number waits or has a slot.
    pub fn holds(&self, number: Number) -> bool {
        self.sessions.contains_key(&number) || self.line.contains(number)
    }

    pub fn standing(&self, number: Number) -> Standing {
        if let Some(session) = self.sessions.get(&number) {
            return Standing::Session(*session);
        }
        match (self.line.spot(number), self.control) {
            (None, _) => Standing::Unknown,
            (Some(_), Control::Prequeue) => Standing::Prequeue,
            (Some(spot), Control::Open | Control::Paused | Control::Closed) => Standing::Waiting(spot),
        }
    }

    pub fn summary(&self) -> Summary {
        Summary {
            control: self.control,
            version: self.seq,
            issued: self.issued,
            waiting: self.line.waiting(),
            active: self.active(),
            capacity: self.policy.capacity,
            called: self.called,
            departed: self.departed,
            per_hour: self.per_hour,
            notice: self.notice.clone(),
        }
    }

    /// What admission is decided on.
    pub fn counts(&self) -> Counts {
        let count = |lane: &crate::line::Lane| LaneCount {
            waiting: lane.waiting(),
            weight: self.policy.weight(&lane.name),
            virtual_time: lane.virtual_time,
        };
        Counts {
            control: self.control,
            active: self.active(),
            capacity: self.policy.capacity,
            admit_per_minute: self.policy.admit_per_minute,
            pace: self.pace.clone(),
            lanes: self.line.lanes().iter().map(count).collect(),
        }
    }

    pub fn room_counts(&self) -> RoomCounts {
        RoomCounts {
            counts: self.counts(),
            called: self.called,
            issued: self.issued,
            reopened_at: self.reopened_at,
            policy: self.policy.clone(),
        }
    }

    /// Follows the next event; an old one or one after a gap changes nothing.
    pub fn apply(&mut self, event: &RoomEvent) -> Fold {
        if event.seq <= self.seq {
            return Fold::Old;
        }
        let next = match &event.fact {
            // What lies between was never told; who heard of it from the store has to ask the store again.
            RoomFact::RoomRebuilt { through_seq, .. } => self.seq == *through_seq,
            RoomFact::RoomConfigured { .. }
            | RoomFact::RoomStateChanged { .. }
            | RoomFact::WaitingTokensIssued { .. }
            | RoomFact::WaitingTokensDeparted { .. }
            | RoomFact::WaitingTokensReinstated { .. }
            | RoomFact::ActiveTokensIssued { .. }
            | RoomFact::ActiveTokenClaimed { .. }
            | RoomFact::ActiveTokenRenewed { .. }
            | RoomFact::ActiveTokenReleased { .. }
            | RoomFact::RoomProgressed { .. } => event.seq == self.seq + 1,
        };
        if !next {
            return Fold::Gap;
        }
        self.seq = event.seq;
        self.follow(&event.fact, event.at);
        Fold::Applied
    }

    fn follow(&mut self, fact: &RoomFact, at: Timestamp) {
        match fact {
            RoomFact::RoomConfigured { policy, lottery_commitment } => {
                self.policy = policy.clone();
                self.lottery_commitment.clone_from(lottery_commitment);
            }
            RoomFact::RoomStateChanged { state, notice, drawn } => {
                if self.control == Control::Closed && *state != Control::Closed {
                    self.reopened_at = Some(at);
                }
                self.control = *state;
                self.notice.clone_from(notice);
                if let Some(drawn) = drawn {
                    self.line.redraw(draw_of(drawn));
                    self.drawn = Some(drawn.clone());
                }
            }
            RoomFact::RoomRebuilt { issued, .. } => {
                if *issued > self.issued {
                    self.unheard.insert_range(self.issued + 1, *issued);
                    self.issued = *issued;
                }
            }
            RoomFact::WaitingTokensReinstated { ranges, .. } => {
                for number in ranges.numbers() {
                    if self.unheard.remove(number) {
                        self.line.reinstate(number);
                    }
                }
            }
            RoomFact::WaitingTokensIssued { first, last, lanes, .. } => {
                if lanes.is_empty() {
                    self.line.arrive(&LaneName::default_lane(), *first, *last);
                }
                lanes.iter().for_each(|run| self.line.arrive(&run.lane, run.first, run.last));
                self.issued = *last;
            }
            RoomFact::WaitingTokensDeparted { ranges, .. } => {
                self.departed += ranges.numbers().filter(|number| self.line.leave(*number)).count() as u64;
            }
            RoomFact::ActiveTokensIssued { ranges, claim_by } => {
                let count = self.line.call(ranges, &self.policy);
                self.called += count;
                self.pace.called(at, count, self.policy.admit_per_minute);
                let called = Session::Called { claim_by: *claim_by };
                self.sessions.extend(ranges.numbers().map(|number| (number, called)));
            }
            RoomFact::ActiveTokenClaimed { number, expires_at } => {
                self.sessions.insert(*number, Session::Active { claimed_at: at, expires_at: *expires_at });
            }
            RoomFact::ActiveTokenRenewed { number, expires_at } => {
                if let Some(Session::Active { expires_at: until, .. }) = self.sessions.get_mut(number) {
                    *until = *expires_at;
                }
            }
            RoomFact::ActiveTokenReleased { number, .. } => {
                self.sessions.remove(number);
            }
            RoomFact::RoomProgressed { rate, .. } => {
                self.per_hour = *rate;
                self.told = Some(Told { version: self.seq, rate: *rate, departed: self.departed });
            }
        }
    }
}

fn draw_of(drawn: &Drawn) -> Draw {
    let secret = bytes_of(&drawn.secret);
    let beacon = drawn.beacon.as_deref().map(bytes_of).unwrap_or_default();
    let mut list_root = [0; 32];
    list_root.iter_mut().zip(bytes_of(&drawn.list_root)).for_each(|(to, from)| *to = from);
    Draw::new(drawn.frozen, &Ingredients { secret: &secret, list_root, beacon: &beacon })
}

/// Hex to bytes; what is no hex counts as written, so that any text gives one and the same draw.
fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect();
    bytes.unwrap_or_else(|| hex.as_bytes().to_vec())
}
