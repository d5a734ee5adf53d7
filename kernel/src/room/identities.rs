//! What only the store keeps of a room: how each number ended, and by what a visitor is known again.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

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
            | RoomFact::RoomStateChanged { .. }
            | RoomFact::WaitingTokensIssued { .. }
            | RoomFact::ActiveTokensIssued { .. }
            | RoomFact::ActiveTokenClaimed { .. }
            | RoomFact::ActiveTokenRenewed { .. }
            | RoomFact::RoomProgressed { .. } => {}
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
}

impl Identities {
    pub(super) fn visitor(&self, visitor: Digest) -> Option<Number> {
        self.visitors.get(&visitor).copied()
    }

    pub(super) fn key(&self, key: Digest, now: Timestamp) -> Option<Number> {
        self.keys.get(&key).filter(|(_, until)| now < *until).map(|(number, _)| *number)
    }

    pub(super) fn apply(&mut self, event: &RoomEvent) {
        let RoomFact::WaitingTokensIssued { visitors, .. } = &event.fact else { return };
        self.forget_keys(event.at);
        let until = event.at.plus_seconds(Room::KEY_SECONDS);
        for arrival in visitors {
            if let Some(visitor) = arrival.visitor {
                self.visitors.insert(visitor, arrival.number);
            }
            if let Some(key) = arrival.key {
                self.keys.insert(key, (arrival.number, until));
                self.key_ends.push_back((until, key));
            }
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
