//! What becomes of a reservation: held, then confirmed or released; a confirmed one may be cancelled.
//! The deadline is part of the state: a late payment loses, whether or not a sweep has run.

use serde::{Deserialize, Serialize};

use crate::reservation::SeatState;
use crate::words::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Hold {
    Held { expires_at: Timestamp },
    Confirmed,
    Released { reason: HoldEnd },
    Cancelled,
}

/// Why a hold ended unpaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    GivenBack,
    Expired,
    /// The visitor's slot ended: paid for another seat, left, revoked.
    SlotEnded,
}

impl HoldEnd {
    pub const ALL: [Self; 3] = [Self::GivenBack, Self::Expired, Self::SlotEnded];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GivenBack => "given_back",
            Self::Expired => "expired",
            Self::SlotEnded => "slot_ended",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The price was taken.
    Confirm,
    GiveBack,
    /// The session was renewed.
    Extend {
        expires_at: Timestamp,
    },
    SlotEnded,
    /// The clock.
    Sweep,
    /// The payment is being undone.
    Cancel,
}

/// What a reservation is after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing changed: a repeat, or not yet time.
    Same,
    Became(Hold),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The hold is over; the seat may be somebody else's.
    #[error("the hold is over")]
    Over,
    #[error("the seat is paid for already")]
    Confirmed,
    #[error("the payment of this reservation was cancelled")]
    Cancelled,
    #[error("nothing was paid for this reservation")]
    Unpaid,
}

impl Hold {
    /// What this is at `now`: a hold whose deadline passed is released, even if nobody wrote it down.
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Held { expires_at } if now >= expires_at => Self::Released { reason: HoldEnd::Expired },
            Self::Held { .. } | Self::Confirmed | Self::Released { .. } | Self::Cancelled => self,
        }
    }

    /// What the seat is because of this reservation.
    pub fn seat(self, now: Timestamp) -> SeatState {
        match self.at(now) {
            Self::Held { .. } => SeatState::Held,
            Self::Confirmed => SeatState::Sold,
            Self::Released { .. } | Self::Cancelled => SeatState::Free,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Confirmed => "confirmed",
            Self::Released { .. } => "released",
            Self::Cancelled => "cancelled",
        }
    }
}

pub fn step(hold: Hold, input: Input, now: Timestamp) -> Result<Next, Refusal> {
    let ended = |reason| Ok(Next::Became(Hold::Released { reason }));
    match (hold, input) {
        (Hold::Held { expires_at }, Input::Confirm) if now >= expires_at => Err(Refusal::Over),
        (Hold::Held { .. }, Input::Confirm) => Ok(Next::Became(Hold::Confirmed)),
        (Hold::Held { .. }, Input::GiveBack) => ended(HoldEnd::GivenBack),
        (Hold::Held { .. }, Input::SlotEnded) => ended(HoldEnd::SlotEnded),
        // The session store decided in time that it lives on; nobody else took the seat meanwhile.
        (Hold::Held { expires_at: before }, Input::Extend { expires_at }) if expires_at > before => {
            Ok(Next::Became(Hold::Held { expires_at }))
        }
        (Hold::Held { expires_at }, Input::Sweep) if now >= expires_at => ended(HoldEnd::Expired),
        (Hold::Held { .. }, Input::Extend { .. } | Input::Sweep) => Ok(Next::Same),
        (Hold::Held { .. } | Hold::Released { .. }, Input::Cancel) => Err(Refusal::Unpaid),
        (Hold::Confirmed, Input::Cancel) => Ok(Next::Became(Hold::Cancelled)),
        (Hold::Confirmed, Input::Confirm | Input::GiveBack) => Err(Refusal::Confirmed),
        (Hold::Released { .. }, Input::Confirm) => Err(Refusal::Over),
        (Hold::Cancelled, Input::Confirm) => Err(Refusal::Cancelled),
        // What is bought stays bought when the visitor goes; what is over stays over.
        (Hold::Confirmed, Input::Extend { .. } | Input::SlotEnded | Input::Sweep)
        | (Hold::Released { .. }, Input::GiveBack | Input::Extend { .. } | Input::SlotEnded | Input::Sweep)
        | (
            Hold::Cancelled,
            Input::GiveBack | Input::Extend { .. } | Input::SlotEnded | Input::Sweep | Input::Cancel,
        ) => Ok(Next::Same),
    }
}

/// Whether a visitor may hold this seat now.
///
/// # Errors
/// A taken seat is told before the limit: another seat helps then, fewer holds would not.
pub fn may_hold(seat: SeatState, held: u64, max_holds: u64) -> Result<(), NoHold> {
    match seat {
        SeatState::Held | SeatState::Sold => Err(NoHold::SeatTaken),
        SeatState::Free if held >= max_holds => Err(NoHold::Limit),
        SeatState::Free => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHold {
    SeatTaken,
    Limit,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_000_000);

    fn held(seconds: u64) -> Hold {
        Hold::Held { expires_at: T0.plus_seconds(seconds) }
    }

    #[test]
    fn a_late_payment_loses_before_any_sweep() {
        assert_eq!(step(held(5), Input::Confirm, T0), Ok(Next::Became(Hold::Confirmed)));
        assert_eq!(step(held(5), Input::Confirm, T0.plus_seconds(5)), Err(Refusal::Over));
        assert_eq!(held(5).seat(T0.plus_seconds(5)), SeatState::Free);
    }

    #[test]
    fn a_seat_that_is_paid_for_stays_when_the_slot_ends() {
        for input in [Input::SlotEnded, Input::Sweep, Input::Extend { expires_at: T0 }] {
            assert_eq!(step(Hold::Confirmed, input, T0.plus_seconds(99)), Ok(Next::Same));
        }
        assert_eq!(step(Hold::Confirmed, Input::GiveBack, T0), Err(Refusal::Confirmed));
        assert_eq!(step(Hold::Confirmed, Input::Cancel, T0), Ok(Next::Became(Hold::Cancelled)));
    }

    #[test]
    fn extending_never_shortens() {
        assert_eq!(step(held(9), Input::Extend { expires_at: T0 }, T0), Ok(Next::Same));
        let longer = T0.plus_seconds(20);
        assert_eq!(
            step(held(9), Input::Extend { expires_at: longer }, T0),
            Ok(Next::Became(Hold::Held { expires_at: longer }))
        );
    }

    #[test]
    fn the_taken_seat_is_told_before_the_limit() {
        assert_eq!(may_hold(SeatState::Sold, 9, 4), Err(NoHold::SeatTaken));
        assert_eq!(may_hold(SeatState::Free, 4, 4), Err(NoHold::Limit));
        assert_eq!(may_hold(SeatState::Free, 3, 4), Ok(()));
    }

    fn inputs() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Confirm),
            Just(Input::GiveBack),
            (0u64..60).prop_map(|s| Input::Extend { expires_at: T0.plus_seconds(s) }),
            Just(Input::SlotEnded),
            Just(Input::Sweep),
            Just(Input::Cancel),
        ]
    }

    proptest! {
        /// A seat sold comes free only by a cancellation; what ended never comes back.
        #[test]
        fn the_ends_are_final(walk in proptest::collection::vec((inputs(), 0u64..10), 0..40)) {
            let (mut hold, mut now) = (held(30), T0);
            for (input, seconds) in walk {
                now = now.plus_seconds(seconds);
                let before = hold;
                if let Ok(Next::Became(after)) = step(hold, input, now) {
                    hold = after;
                }
                match before {
                    Hold::Released { .. } | Hold::Cancelled => prop_assert_eq!(hold, before),
                    Hold::Confirmed => prop_assert!(
                        hold == before || (hold == Hold::Cancelled && input == Input::Cancel)
                    ),
                    Hold::Held { .. } => prop_assert_ne!(hold, Hold::Cancelled),
                }
                // The same input again changes nothing more.
                if let Ok(next) = step(hold, input, now) {
                    prop_assert_eq!(next, Next::Same);
                }
            }
        }
    }
}
