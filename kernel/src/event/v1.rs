//! Version 1 of every event's body. Numbers travel as ranges in bounded chunks.

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::policy::Policy;
use crate::words::{Digest, EndReason, LaneName, Number, Ranges, RoomId, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum RoomFact {
    RoomConfigured {
        policy: Policy,
        /// SHA-256 (hex) of the lottery's secret, published before anybody joins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lottery_commitment: Option<String>,
    },
    RoomStateChanged {
        state: Control,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<String>,
        /// Present on the opening that draws the lottery.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drawn: Option<Drawn>,
    },
    WaitingTokensIssued {
        first: Number,
        last: Number,
        /// Absent when all are in the default lane.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lanes: Vec<LaneRun>,
        /// Those who are known by something: hashes, never the ids.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        visitors: Vec<Arrival>,
    },
    WaitingTokensDeparted {
        ranges: Ranges,
        reason: EndReason,
    },
    ActiveTokensIssued {
        ranges: Ranges,
        claim_by: Timestamp,
    },
    ActiveTokenClaimed {
        number: Number,
        expires_at: Timestamp,
    },
    ActiveTokenRenewed {
        number: Number,
        expires_at: Timestamp,
    },
    ActiveTokenReleased {
        number: Number,
        reason: EndReason,
    },
    RoomProgressed {
        /// The room's `seq` that this speaks of: everything up to it is in the figures.
        version: u64,
        state: Control,
        called_through: Number,
        /// Who left the line since the last progress, other than by being called.
        departed_delta: u64,
        waiting: u64,
        active: u64,
        /// Visitors called an hour, as estimated.
        rate: u64,
    },
}

/// The ingredients of a draw, published at opening so that anyone can compute it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The numbers 1..=frozen took part.
    pub frozen: Number,
    /// Hex; its SHA-256 is the commitment.
    pub secret: String,
    /// Hex; root over the arrivals' ticket ids.
    pub list_root: String,
    /// The public beacon's value (hex); absent where none is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon: Option<String>,
}

/// Numbers that joined one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRun {
    pub lane: LaneName,
    pub first: Number,
    pub last: Number,
}

/// By what a number is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    pub number: Number,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
}

/// What every payment event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRef {
    pub room: RoomId,
    pub payment_id: String,
    pub reservation_id: String,
    pub performance_id: String,
    pub seat_id: String,
    /// The visitor's number in the room.
    pub number: Number,
    pub amount_minor: i64,
    pub currency: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum PaymentFact {
    PaymentCompleted(PaymentRef),
    PaymentFailed {
        #[serde(flatten)]
        payment: PaymentRef,
        /// The stable problem code, such as `insufficient_balance`.
        reason: String,
    },
    PaymentCancelled(PaymentRef),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum CancellationFact {
    CancelPaymentRequested(PaymentRef),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ReplyFact {
    PaymentCancellationSucceeded(PaymentRef),
    PaymentCancellationFailed {
        #[serde(flatten)]
        payment: PaymentRef,
        reason: String,
    },
}
