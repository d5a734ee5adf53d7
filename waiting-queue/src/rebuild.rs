//! The operator's call that makes a room anew from its events.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use edge::{NoBody, Problem, require_admin};
use serde::Serialize;

use crate::Shared;

/// What a room was made anew from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RebuiltRoom {
    room: String,
    /// How many events it was made of.
    events: u64,
    /// The room's version after it.
    through_seq: u64,
}

/// Makes a room anew from the event log; nothing changes where the store has lost nothing.
#[utoipa::path(post, operation_id = "rebuild_room", path = "/v1/admin/rooms/{room}/rebuild", tag = "admin", params(("room" = String, Path)), security(("admin" = [])),
    responses((status = 200, body = RebuiltRoom), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn rebuild(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<NoBody, Problem>,
) -> Result<Json<RebuiltRoom>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    body?;
    let record = shared.rooms.named(&room).await?;
    let room = &record.birth.room;
    let rebuilt = shared.ports.store.rebuild(room, shared.now()).await?;
    let (events, through_seq) = (rebuilt.events, rebuilt.through_seq);
    tracing::info!(%room, events, through_seq, "an operator had the room made anew from its events");
    Ok(Json(RebuiltRoom { room: room.to_string(), events, through_seq }))
}
