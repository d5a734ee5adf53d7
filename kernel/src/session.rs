//! What becomes of a visitor who was called: claimed, renewed, or ended. One total function of time.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::words::{EndReason, Timestamp};

/// A called visitor's slot. Not tagged inside: that would hide from times whether the format is binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// Called, not yet heard of. Who watches presence decides when `claim_by` counts (see [`Input::Sweep`]).
    Called { claim_by: Timestamp },
    /// Claimed: the visitor may shop until `expires_at`.
    Active { claimed_at: Timestamp, expires_at: Timestamp },
}

impl Session {
    /// When the expiry index should look at this session.
    pub fn due_at(&self) -> Timestamp {
        match self {
            Self::Called { claim_by } => *claim_by,
            Self::Active { expires_at, .. } => *expires_at,
        }
    }
}

/// The terms of a room that a session is under, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub active_seconds: u64,
    pub max_session_seconds: u64,
}

impl From<&Policy> for Terms {
    fn from(policy: &Policy) -> Self {
        Self { active_seconds: policy.active_seconds, max_session_seconds: policy.max_session_seconds }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The visitor was heard of: an answer with the pass was sent, a ping was answered, the pass was used.
    Claim,
    /// The visitor asks for more time.
    Renew,
    /// The clock: `claim_until` is the later of the claim window and the rest of the grace, as watched.
    Sweep { claim_until: Timestamp },
    /// The slot is given back: paid, left, or revoked.
    End(EndReason),
}

/// What a session is after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing changed: a repeat, or not yet time.
    Same,
    Claimed(Session),
    Renewed(Session),
    Ended(EndReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The deadline has passed; the slot may be somebody else's, even if no sweep has run.
    #[error("the session's time is over")]
    TooLate,
}

pub fn step(session: Session, input: Input, terms: Terms, now: Timestamp) -> Result<Next, Refusal> {
    let until = |claimed_at: Timestamp| {
        now.plus_seconds(terms.active_seconds).min(claimed_at.plus_seconds(terms.max_session_seconds))
    };
    match (session, input) {
        (_, Input::End(reason)) => Ok(Next::Ended(reason)),
        // A late claim still finds its slot held: only a sweep that watched the visitor takes it away.
        (Session::Called { .. }, Input::Claim | Input::Renew) => {
            Ok(Next::Claimed(Session::Active { claimed_at: now, expires_at: until(now) }))
        }
        (Session::Called { .. }, Input::Sweep { claim_until }) if now >= claim_until => {
            Ok(Next::Ended(EndReason::NoShow))
        }
        (Session::Active { expires_at, .. }, Input::Sweep { .. }) if now >= expires_at => {
            Ok(Next::Ended(EndReason::Expired))
        }
        (Session::Called { .. } | Session::Active { .. }, Input::Sweep { .. }) => Ok(Next::Same),
        (Session::Active { expires_at, .. }, Input::Claim | Input::Renew) if now >= expires_at => {
            Err(Refusal::TooLate)
        }
        (Session::Active { .. }, Input::Claim) => Ok(Next::Same),
        (Session::Active { claimed_at, expires_at }, Input::Renew) => {
            // A shorter policy never takes back time that was promised.
            let later = until(claimed_at).max(expires_at);
            // At the longest session there is no more to give, and nothing to write down.
            if later == expires_at {
                return Ok(Next::Same);
            }
            Ok(Next::Renewed(Session::Active { claimed_at, expires_at: later }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { active_seconds: 300, max_session_seconds: 700 };
    const T0: Timestamp = Timestamp::from_millis(1_000_000);

    fn active(expires_in: u64) -> Session {
        Session::Active { claimed_at: T0, expires_at: T0.plus_seconds(expires_in) }
    }

    #[test]
    fn a_claim_starts_the_active_time() {
        let called = Session::Called { claim_by: T0.plus_seconds(60) };
        let later = T0.plus_seconds(90);
        let expected = Session::Active { claimed_at: later, expires_at: later.plus_seconds(300) };
        assert_eq!(step(called, Input::Claim, TERMS, later), Ok(Next::Claimed(expected)));
    }

    #[test]
    fn renewals_end_at_the_longest_session() {
        let at = T0.plus_seconds(599);
        assert_eq!(step(active(600), Input::Renew, TERMS, at), Ok(Next::Renewed(active(700))));
        assert_eq!(step(active(700), Input::Renew, TERMS, at), Ok(Next::Same));
        let at = T0.plus_seconds(10);
        assert_eq!(step(active(300), Input::Renew, TERMS, at), Ok(Next::Renewed(active(310))));
    }

    #[test]
    fn a_late_renewal_loses_before_any_sweep() {
        assert_eq!(step(active(300), Input::Renew, TERMS, T0.plus_seconds(300)), Err(Refusal::TooLate));
        assert_eq!(step(active(300), Input::Claim, TERMS, T0.plus_seconds(300)), Err(Refusal::TooLate));
    }

    #[test]
    fn a_sweep_ends_only_what_is_due() {
        let sweep = |claim_until| Input::Sweep { claim_until };
        let called = Session::Called { claim_by: T0 };
        assert_eq!(step(called, sweep(T0.plus_seconds(5)), TERMS, T0), Ok(Next::Same));
        assert_eq!(step(called, sweep(T0), TERMS, T0), Ok(Next::Ended(EndReason::NoShow)));
        assert_eq!(step(active(300), sweep(T0), TERMS, T0.plus_seconds(299)), Ok(Next::Same));
        let due = step(active(300), sweep(T0), TERMS, T0.plus_seconds(300));
        assert_eq!(due, Ok(Next::Ended(EndReason::Expired)));
    }

    #[test]
    fn a_payment_that_was_taken_ends_even_a_late_session_as_paid() {
        let end = Input::End(EndReason::Paid);
        assert_eq!(step(active(1), end, TERMS, T0.plus_seconds(9)), Ok(Next::Ended(EndReason::Paid)));
    }
}
