//! What visitors are told: where a ticket stands, in the contract's words.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use edge::Problem;
use kernel::outflow::{self, Eta};
use kernel::ports::RoomRecord;
use kernel::room::Standing;
use kernel::words::{EndReason, Number, Timestamp};
use serde::Serialize;

use crate::outlook::Outlook;

/// What an answer without a pass is long at most, in bytes: then it is written in one go.
const USUAL_BYTES: usize = 256;

/// Where a ticket stands. Fields that do not apply to its state are absent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TicketAnswer {
    /// Only in the answer to a join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    #[schema(value_type = String, example = "waiting")]
    pub state: &'static str,
    pub number: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    pub waiting: u64,
    pub eta_seconds: Option<u64>,
    pub eta_low_seconds: Option<u64>,
    pub eta_high_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "paid")]
    pub reason: Option<EndReason>,
}

impl TicketAnswer {
    /// The answer for a standing; `None` for a number that was never given.
    pub fn new(record: &RoomRecord, number: Number, seen: Outlook) -> Option<Self> {
        let mut answer = Self {
            ticket: None,
            state: "",
            number,
            position: None,
            ahead: None,
            waiting: seen.waiting,
            eta_seconds: None,
            eta_low_seconds: None,
            eta_high_seconds: None,
            poll_after_seconds: None,
            opens_at: None,
            pass: None,
            expires_at: None,
            go_to: None,
            reason: None,
        };
        match seen.standing {
            Standing::Unknown => return None,
            Standing::Prequeue => {
                answer.state = "prequeue";
                answer.opens_at = record.policy.opens_at;
                answer.poll_after_seconds = Some(poll_after(u64::MAX, record.policy.grace_seconds));
            }
            Standing::Waiting(spot) => {
                let Eta { eta_seconds, eta_low_seconds, eta_high_seconds } =
                    outflow::eta(spot.position, seen.per_hour);
                answer.state = "waiting";
                answer.position = Some(spot.position);
                answer.ahead = Some(spot.position - 1);
                (answer.eta_seconds, answer.eta_low_seconds, answer.eta_high_seconds) =
                    (eta_seconds, eta_low_seconds, eta_high_seconds);
                answer.poll_after_seconds = Some(poll_after(spot.position, record.policy.grace_seconds));
            }
            Standing::Session(_) => {
                answer.state = "active";
                (answer.eta_seconds, answer.eta_low_seconds, answer.eta_high_seconds) =
                    (Some(0), Some(0), Some(0));
                answer.poll_after_seconds = Some(poll_after(u64::MAX, record.policy.grace_seconds));
            }
            Standing::Ended(reason) => {
                answer.state = "ended";
                answer.reason = Some(reason);
            }
        }
        Some(answer)
    }
}

impl IntoResponse for TicketAnswer {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(USUAL_BYTES);
        match serde_json::to_writer(&mut body, &self) {
            Ok(()) => {
                let json = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written, a fault of ours");
                Problem::unavailable().into_response()
            }
        }
    }
}

/// Seconds until the next poll is worth it: soon for those next up, and well within the grace for all.
fn poll_after(position: u64, grace_seconds: u64) -> u64 {
    let wish = match position {
        0..=50 => 1,
        51..=1_000 => 3,
        _ => 5,
    };
    wish.min(grace_seconds / 3).max(1)
}
