//! What only the store keeps of a room: how each number ended, and by what a visitor is known again.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::event::v1::Arrival;
use crate::event::{RoomEvent, RoomFact};
use crate::room::Room;
use crate::words::{Digest, EndReason, Number, Timestamp};

/// One byte a number: how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Endings(Vec<u8>);

const REASONS: [EndReason; 6] = [
    EndReason::Paid,
    EndReason::Expired,
    EndReason::NoShow,
    EndReason::Left,
    EndReason::Revoked,
    EndReason::RoomClosed,
];

impl Endings {
    pub(super) fn reason(&self, number: Number) -> Option<EndReason> {
        let code = *self.0.get(usize::try_from(number).ok()?)?;
        REASONS.get(usize::from(code).checked_sub(1)?).copied()
    }

    pub(super) fn apply(&mut self, event: &RoomEvent) {
        match &event.fact {
            RoomFact::WaitingTokensDeparted { ranges, reason } => {
                ranges.numbers().for_each(|number| self.end(number, *reason));
            }
            RoomFact::ActiveTokenReleased { number, reason } => self.end(*number, *reason),
            RoomFact::RoomConfigured { .. }
            | RoomFact::RoomRebuilt { .. }
            | RoomFact::RoomStateChanged { .. }
            | RoomFact::WaitingTokensIssued { .. }
            | RoomFact::WaitingTokensReinstated { .. }
            | RoomFact::ActiveTokensIssued { .. }
            | RoomFact::ActiveTokenClaimed { .. }
            | RoomFact::ActiveTokenRenewed { .. }
            | RoomFact::RoomProgressed { .. } => {}
        }
    }

    /// Takes back the newest event that was applied: a number ends once, so it had not ended before.
    pub(super) fn withdraw(&mut self, event: &RoomEvent) {
        match &event.fact {
            RoomFact::WaitingTokensDeparted { ranges, .. } => {
                ranges.numbers().for_each(|number| self.revive(number));
            }
            RoomFact::ActiveTokenReleased { number, .. } => self.revive(*number),
            RoomFact::RoomConfigured { .. }
            | RoomFact::RoomRebuilt { .. }
            | RoomFact::RoomStateChanged { .. }
            | RoomFact::WaitingTokensIssued { .. }
            | RoomFact::WaitingTokensReinstated { .. }
            | RoomFact::ActiveTokensIssued { .. }
            | RoomFact::ActiveTokenClaimed { .. }
            | RoomFact::ActiveTokenRenewed { .. }
            | RoomFact::RoomProgressed { .. } => {}
        }
    }

    fn revive(&mut self, number: Number) {
        if let Some(code) = usize::try_from(number).ok().and_then(|at| self.0.get_mut(at)) {
            *code = 0;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn end(&mut self, number: Number, reason: EndReason) {
        let (Ok(at), Some(code)) =
            (usize::try_from(number), REASONS.iter().position(|known| *known == reason))
        else {
            return;
        };
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = code as u8 + 1;
    }
}

/// Known visitors for ever (one place a `sub`), idempotency keys for ten minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identities {
    visitors: HashMap<Digest, Number>,
    keys: HashMap<Digest, (Number, Timestamp)>,
    /// Keys in the order they run out.
    key_ends: VecDeque<(Timestamp, Digest)>,
    /// What takes back the newest changes, in a room that drafts.
    #[serde(skip)]
    undo: Option<Vec<Before>>,
}

/// What stood where a change was made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Before {
    Visitor(Digest, Option<Number>),
    Key(Digest, Option<(Number, Timestamp)>),
}

impl Identities {
    pub(super) fn visitor(&self, visitor: Digest) -> Option<Number> {
        self.visitors.get(&visitor).copied()
    }

    pub(super) fn key(&self, key: Digest, now: Timestamp) -> Option<Number> {
        self.keys.get(&key).filter(|(_, until)| now < *until).map(|(number, _)| *number)
    }

    pub(super) fn apply(&mut self, event: &RoomEvent) {
        let known = event.fact.known();
        if self.undo.is_none() && !known.is_empty() {
            self.forget_keys(event.at);
        }
        known.iter().for_each(|arrival| self.know(arrival, event.at));
    }

    /// `arrival` got its number at `at`.
    pub(super) fn know(&mut self, arrival: &Arrival, at: Timestamp) {
        let (number, until) = (arrival.number, at.plus_seconds(Room::KEY_SECONDS));
        if let Some(visitor) = arrival.visitor {
            let before = self.visitors.insert(visitor, number);
            self.note(Before::Visitor(visitor, before));
        }
        if let Some(key) = arrival.key {
            let before = self.keys.insert(key, (number, until));
            self.key_ends.push_back((until, key));
            self.note(Before::Key(key, before));
        }
    }

    /// From here on changes can be taken back; the ones before stand.
    pub(super) fn draft(&mut self) {
        self.undo = Some(Vec::new());
    }

    /// The changes since the last time stand; keys that ran out by `now` are forgotten.
    pub(super) fn agree(&mut self, now: Timestamp) {
        if let Some(undo) = &mut self.undo {
            undo.clear();
        }
        self.forget_keys(now);
    }

    /// The changes since the last time never happened.
    pub(super) fn withdraw(&mut self) {
        let Some(undo) = &mut self.undo else { return };
        for before in undo.drain(..).rev() {
            match before {
                Before::Visitor(visitor, Some(number)) => drop(self.visitors.insert(visitor, number)),
                Before::Visitor(visitor, None) => drop(self.visitors.remove(&visitor)),
                Before::Key(key, before) => {
                    self.key_ends.pop_back();
                    match before {
                        Some(held) => drop(self.keys.insert(key, held)),
                        None => drop(self.keys.remove(&key)),
                    }
                }
            }
        }
    }

    fn note(&mut self, before: Before) {
        if let Some(undo) = &mut self.undo {
            undo.push(before);
        }
    }

    fn forget_keys(&mut self, now: Timestamp) {
        while let Some((until, key)) = self.key_ends.front().copied()
            && until <= now
        {
            self.key_ends.pop_front();
            // A key used again since lives on under its later end.
            if self.keys.get(&key).is_some_and(|(_, newest)| *newest <= now) {
                self.keys.remove(&key);
            }
        }
    }
}
