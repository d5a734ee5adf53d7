//! The refusals of the shop: one place for their codes and words.

use axum::http::StatusCode;
use edge::Problem;
use kernel::ports::reservations::Answered;
use kernel::reservation::{Failure, hold, payment};

pub fn unknown(code: &'static str, what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, format!("there is no {what} of this id that you may see"))
}

pub fn unknown_concert() -> Problem {
    unknown("unknown_concert", "concert")
}

pub fn unknown_performance() -> Problem {
    unknown("unknown_performance", "performance")
}

pub fn unknown_seat() -> Problem {
    unknown("unknown_seat", "seat")
}

pub fn unknown_reservation() -> Problem {
    unknown("unknown_reservation", "reservation")
}

pub fn unknown_payment() -> Problem {
    unknown("unknown_payment", "payment")
}

/// The slot has been given back or ran out: nothing new is opened with its pass.
pub fn pass_released() -> Problem {
    let detail =
        "your visit is over: this pass reads what is yours, and opens nothing new; join again to buy";
    Problem::new(StatusCode::FORBIDDEN, "pass_released", detail)
}

pub fn wrong_room() -> Problem {
    let detail = "this concert belongs to another room than your pass";
    Problem::new(StatusCode::FORBIDDEN, "wrong_room", detail)
}

pub fn conflict(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, detail)
}

pub fn hold_refused(refusal: hold::Refusal) -> Problem {
    match refusal {
        hold::Refusal::Over => hold_expired(),
        hold::Refusal::Confirmed => {
            conflict("already_confirmed", "this reservation is paid for; cancel its payment to undo it")
        }
        hold::Refusal::Cancelled => conflict(
            "reservation_cancelled",
            "the payment of this reservation was cancelled; hold a seat anew",
        ),
        hold::Refusal::Unpaid => conflict("not_paid", "nothing was paid for this reservation"),
    }
}

pub fn payment_failed(failure: Failure) -> Problem {
    match failure {
        Failure::HoldExpired => hold_expired(),
        Failure::InsufficientBalance => Problem::new(
            StatusCode::PAYMENT_REQUIRED,
            "insufficient_balance",
            "your balance is less than the price; the seat stays held: charge your balance and pay under a new Idempotency-Key",
        ),
    }
}

pub fn not_cancellable(refusal: payment::Refusal) -> Problem {
    match refusal {
        payment::Refusal::NothingPaid | payment::Refusal::NotRequested => {
            conflict("payment_not_completed", "this payment failed, so there is nothing to give back")
        }
    }
}

/// The outcome of a call that may be repeated, and whether this call brought it about.
///
/// # Errors
/// 422 when the key was used for something else.
pub fn settled<T>(answered: Answered<T>) -> Result<(T, bool), Problem> {
    match answered {
        Answered::Now(outcome) => Ok((outcome, true)),
        Answered::Before(outcome) => Ok((outcome, false)),
        Answered::OtherBody => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request; send a new key",
        )),
    }
}

fn hold_expired() -> Problem {
    conflict("hold_expired", "the time for this seat is over; nothing was taken: hold a seat anew")
}
