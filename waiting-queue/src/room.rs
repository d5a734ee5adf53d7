//! `GET /v1/rooms/{room}`: what everybody may know of a room.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use dashmap::DashMap;
use edge::Problem;
use kernel::control::Control;
use kernel::event::v1::Drawn;
use kernel::lottery;
use kernel::policy::PrequeueOrder;
use kernel::ports::RoomRecord;
use kernel::words::{RoomId, Timestamp, hex};
use serde::Serialize;

use crate::Shared;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PublicRoom {
    pub room: String,
    #[schema(value_type = String, example = "open")]
    pub state: Control,
    pub waiting: u64,
    pub active: u64,
    pub capacity: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// In a room whose prequeue is ordered by lot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lottery: Option<PublicLottery>,
}

/// What lets anyone check a draw. Without a public beacon it can be recomputed, but the operator who keeps
/// the secret could have known it beforehand.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PublicLottery {
    /// SHA-256 (hex) of the secret, published before anybody joined.
    commitment: String,
    /// Published at the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    drawn: Option<Drawn>,
}

/// The draws of opened rooms: they never change, so each is read once.
#[derive(Default)]
pub(crate) struct Draws(DashMap<RoomId, Option<Drawn>>);

#[utoipa::path(
    get, path = "/v1/rooms/{room}", tag = "waiting queue", params(("room" = String, Path)),
    responses((status = 200, body = PublicRoom), (status = 404, body = edge::ProblemBody))
)]
pub(crate) async fn public_state(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
) -> Result<Json<PublicRoom>, Problem> {
    let record = shared.rooms.named(&room).await?;
    describe(&shared, &record).await.map(Json)
}

pub(crate) async fn describe(shared: &Shared, record: &RoomRecord) -> Result<PublicRoom, Problem> {
    let room = &record.birth.room;
    let summary = shared.ports.store.summary(room).await?;
    let lottery = match record.policy.prequeue {
        PrequeueOrder::Fifo => None,
        PrequeueOrder::Lottery => Some(PublicLottery {
            commitment: hex(&lottery::commitment(&record.lottery_secret)),
            drawn: drawn(shared, room, summary.control).await?,
        }),
    };
    Ok(PublicRoom {
        room: room.to_string(),
        state: summary.control,
        waiting: summary.waiting,
        active: summary.active,
        capacity: summary.capacity,
        opens_at: record.policy.opens_at,
        notice: summary.notice,
        lottery,
    })
}

async fn drawn(shared: &Shared, room: &RoomId, control: Control) -> Result<Option<Drawn>, Problem> {
    if control == Control::Prequeue {
        return Ok(None);
    }
    if let Some(known) = shared.draws.0.get(room) {
        return Ok(known.clone());
    }
    let drawn = shared.ports.store.snapshot(room).await?.drawn;
    shared.draws.0.insert(room.clone(), drawn.clone());
    Ok(drawn)
}
