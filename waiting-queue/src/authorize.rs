//! `GET /v1/authorize` for reverse proxies, and the key by which anyone verifies passes offline.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use edge::{Problem, bearer};
use kernel::room::Standing;
use kernel::session::Terms;

use crate::Shared;

const COOKIE: &str = "turnline_pass";

/// 204 while the pass is good and its slot is held; 401 otherwise. Using the pass claims the slot.
#[utoipa::path(
    get, path = "/v1/authorize", tag = "pass", params(("room" = String, Query)), security(("pass" = [])),
    responses((status = 204), (status = 401, body = edge::ProblemBody))
)]
pub(crate) async fn authorize(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let refused = |detail: &str| Problem::unauthorized("invalid_pass", detail);
    let room = room_of(query.as_deref().unwrap_or_default())
        .ok_or_else(|| Problem::unauthorized("room_required", "name the room: /v1/authorize?room=…"))?;
    let record = shared.rooms.named(room).await.map_err(|problem| match problem.status {
        StatusCode::NOT_FOUND => refused("there is no such room"),
        _ => problem,
    })?;
    let pass = match bearer(&headers)? {
        Some(pass) => pass,
        None => cookie(&headers).ok_or_else(|| refused("send the pass as Bearer or cookie turnline_pass"))?,
    };
    let now = shared.now();
    let pass = shared.ports.passes.verify(pass, now).map_err(|bad| refused(&bad.to_string()))?;
    if pass.aud != record.birth.room.as_str() {
        return Err(refused("this pass is of another room"));
    }
    let (store, room) = (shared.ports.store.as_ref(), &record.birth.room);
    let Standing::Session(session) = store.seen(room, pass.num).await?.standing else {
        return Err(refused("the slot of this pass has been given back"));
    };
    let held = edge::claim(store, room, pass.num, session, Terms::from(&record.policy), now).await?;
    if held.is_some() { Ok(StatusCode::NO_CONTENT) } else { Err(refused("this pass has run out")) }
}

/// The JSON Web Key Set of the passes.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "pass", responses((status = 200, body = Object)))]
pub(crate) async fn jwks(
    State(shared): State<Arc<Shared>>,
) -> ([(header::HeaderName, &'static str); 1], Json<serde_json::Value>) {
    ([(header::CACHE_CONTROL, "public, max-age=3600")], Json(shared.ports.passes.jwks()))
}

/// Room names need no decoding: what is written otherwise names no room.
fn room_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("room=")).filter(|room| !room.is_empty())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE && !value.is_empty()).then_some(value)
    })
}
