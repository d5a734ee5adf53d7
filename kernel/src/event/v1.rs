//! Version 1 of every event's body. Numbers travel as ranges in bounded chunks.

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::policy::Policy;
use crate::reservation::HoldEnd;
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
    /// The room was made anew from the log, because its store had lost it. Its `seq` leaves out what may
    /// have been given in between, so whoever followed further than the log goes sees a gap.
    RoomRebuilt {
        /// The `seq` up to which the log was whole.
        through_seq: u64,
        /// The last number that may have been given; the next one follows it.
        issued: Number,
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
    /// Numbers that were given but not told before the store lost the room: their visitors showed their
    /// tickets, and stand where they stood.
    WaitingTokensReinstated {
        ranges: Ranges,
        /// Those who are known by something.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        visitors: Vec<Arrival>,
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

impl RoomFact {
    /// The arrivals it tells of that are known by something.
    pub fn known(&self) -> &[Arrival] {
        match self {
            Self::WaitingTokensIssued { visitors, .. } | Self::WaitingTokensReinstated { visitors, .. } => {
                visitors
            }
            Self::RoomConfigured { .. }
            | Self::RoomRebuilt { .. }
            | Self::RoomStateChanged { .. }
            | Self::WaitingTokensDeparted { .. }
            | Self::ActiveTokensIssued { .. }
            | Self::ActiveTokenClaimed { .. }
            | Self::ActiveTokenRenewed { .. }
            | Self::ActiveTokenReleased { .. }
            | Self::RoomProgressed { .. } => &[],
        }
    }
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

impl PaymentFact {
    pub fn payment(&self) -> &PaymentRef {
        match self {
            Self::PaymentCompleted(payment)
            | Self::PaymentFailed { payment, .. }
            | Self::PaymentCancelled(payment) => payment,
        }
    }
}

/// What every reservation event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRef {
    pub room: RoomId,
    pub reservation_id: String,
    pub performance_id: String,
    pub seat_id: String,
    /// The visitor's number in the room.
    pub number: Number,
    pub amount_minor: i64,
    pub currency: String,
}

/// The story of a reservation: held, then confirmed or released; a confirmed one may be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ReservationFact {
    ReservationHeld {
        #[serde(flatten)]
        reservation: ReservationRef,
        /// As of the holding: a hold lasts as long as the visitor's slot, which may be renewed.
        expires_at: Timestamp,
    },
    ReservationConfirmed {
        #[serde(flatten)]
        reservation: ReservationRef,
        payment_id: String,
    },
    /// The hold ended unpaid; the seat is free.
    ReservationReleased {
        #[serde(flatten)]
        reservation: ReservationRef,
        reason: HoldEnd,
    },
    /// The money went back; the seat is free.
    ReservationCancelled {
        #[serde(flatten)]
        reservation: ReservationRef,
        payment_id: String,
    },
}

impl ReservationFact {
    pub fn reservation(&self) -> &ReservationRef {
        match self {
            Self::ReservationHeld { reservation, .. }
            | Self::ReservationConfirmed { reservation, .. }
            | Self::ReservationReleased { reservation, .. }
            | Self::ReservationCancelled { reservation, .. } => reservation,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum CancellationFact {
    CancelPaymentRequested(PaymentRef),
}

impl CancellationFact {
    pub fn payment(&self) -> &PaymentRef {
        let Self::CancelPaymentRequested(payment) = self;
        payment
    }
}

/// Something of Turnline's own went wrong, and somebody should look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum FaultFact {
    FaultFound {
        room: RoomId,
        /// Where it was found, such as `expiration` or a consumer's group.
        place: String,
        /// Stable: `dead_letter`, `room_figures`.
        code: String,
        /// What happened, in words. No visitor is named.
        detail: String,
    },
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

impl ReplyFact {
    pub fn payment(&self) -> &PaymentRef {
        match self {
            Self::PaymentCancellationSucceeded(payment) | Self::PaymentCancellationFailed { payment, .. } => {
                payment
            }
        }
    }
}
