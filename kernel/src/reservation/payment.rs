//! What becomes of a payment: completed or failed at once; a completed one may be cancelled.

use serde::{Deserialize, Serialize};

use crate::reservation::hold;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Payment {
    Completed,
    Failed {
        reason: Failure,
    },
    /// Its compensation is on the way.
    Cancelling,
    Cancelled,
}

/// Why a payment failed; the words are those of the problem's `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    InsufficientBalance,
    HoldExpired,
}

impl Failure {
    pub const ALL: [Self; 2] = [Self::InsufficientBalance, Self::HoldExpired];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientBalance => "insufficient_balance",
            Self::HoldExpired => "hold_expired",
        }
    }
}

impl Payment {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the money is with the shop.
    pub const fn has_the_money(self) -> bool {
        match self {
            Self::Completed | Self::Cancelling => true,
            Self::Failed { .. } | Self::Cancelled => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The buyer asks for the money back.
    RequestCancel,
    /// The compensation: money back, seat free.
    Compensate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing changed: a repeat.
    Same,
    Became(Payment),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    #[error("this payment failed; there is nothing to give back")]
    NothingPaid,
    #[error("nobody asked for this payment to be cancelled")]
    NotRequested,
}

pub fn step(payment: Payment, input: Input) -> Result<Next, Refusal> {
    match (payment, input) {
        (Payment::Completed, Input::RequestCancel) => Ok(Next::Became(Payment::Cancelling)),
        (Payment::Completed, Input::Compensate) => Err(Refusal::NotRequested),
        (Payment::Cancelling, Input::Compensate) => Ok(Next::Became(Payment::Cancelled)),
        (Payment::Failed { .. }, Input::RequestCancel | Input::Compensate) => Err(Refusal::NothingPaid),
        // At-least-once delivery: asking again is silence, not an error.
        (Payment::Cancelling, Input::RequestCancel)
        | (Payment::Cancelled, Input::RequestCancel | Input::Compensate) => Ok(Next::Same),
    }
}

/// What paying for a reservation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take the price; the balance after it, in minor units.
    Take { balance_after: i64 },
    /// Keep a failed payment; the reservation stays as it is.
    Fail(Failure),
    /// No payment at all: it is paid already, or was cancelled.
    Refuse(hold::Refusal),
}

/// Judges a payment of `price` from `balance` (minor units) given what became of confirming the hold.
pub fn judge(confirmed: Result<hold::Next, hold::Refusal>, balance: i64, price: i64) -> Verdict {
    match confirmed {
        Err(hold::Refusal::Over) => Verdict::Fail(Failure::HoldExpired),
        Err(refusal @ (hold::Refusal::Confirmed | hold::Refusal::Cancelled | hold::Refusal::Unpaid)) => {
            Verdict::Refuse(refusal)
        }
        Ok(hold::Next::Same) => Verdict::Refuse(hold::Refusal::Confirmed),
        Ok(hold::Next::Became(_)) if balance < price => Verdict::Fail(Failure::InsufficientBalance),
        Ok(hold::Next::Became(_)) => Verdict::Take { balance_after: balance - price },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reservation::Hold;
    use crate::words::Timestamp;

    const ALL: [Payment; 4] = [
        Payment::Completed,
        Payment::Failed { reason: Failure::InsufficientBalance },
        Payment::Cancelling,
        Payment::Cancelled,
    ];

    #[test]
    fn money_goes_back_once_and_only_when_asked() {
        assert_eq!(step(Payment::Completed, Input::Compensate), Err(Refusal::NotRequested));
        for payment in ALL {
            for input in [Input::RequestCancel, Input::Compensate] {
                let Ok(Next::Became(after)) = step(payment, input) else { continue };
                assert_eq!(step(after, input), Ok(Next::Same), "{payment:?} {input:?} twice");
                let given_back = payment.has_the_money() && !after.has_the_money();
                assert_eq!(given_back, (payment, input) == (Payment::Cancelling, Input::Compensate));
            }
        }
    }

    #[test]
    fn the_price_is_taken_only_when_the_seat_can_be_confirmed_and_the_money_is_there() {
        let now = Timestamp::from_millis(1_000);
        let held = Hold::Held { expires_at: now.plus_seconds(1) };
        let confirm = |hold, at| hold::step(hold, hold::Input::Confirm, at);
        assert_eq!(judge(confirm(held, now), 500, 500), Verdict::Take { balance_after: 0 });
        assert_eq!(judge(confirm(held, now), 499, 500), Verdict::Fail(Failure::InsufficientBalance));
        let late = confirm(held, now.plus_seconds(1));
        assert_eq!(judge(late, 500, 500), Verdict::Fail(Failure::HoldExpired));
        let twice = confirm(Hold::Confirmed, now);
        assert_eq!(judge(twice, 500, 500), Verdict::Refuse(hold::Refusal::Confirmed));
    }
}
