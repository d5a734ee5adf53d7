//! The operator's calls about dead letters: what consumers could not handle, and how it is put back.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use edge::{NoBody, Problem, require_admin};
use kernel::ports::{DeadLetter, Replay};
use serde::{Deserialize, Serialize};

use crate::Shared;

const LIMIT_USUAL: usize = 50;
const LIMIT_MAX: usize = 200;

/// Which part of the dead letters.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Newest {
    /// Letters at most: 1 to 200, 50 when absent.
    limit: Option<usize>,
}

/// What a consumer could not handle, without what was in it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Letter {
    /// Names the letter here; means nothing else.
    id: String,
    topic: String,
    /// Who could not handle it.
    group: String,
    /// Its place in the topic: partition/offset.
    stood_at: String,
    /// Absent when it cannot be read, as is `event_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    error: String,
    /// How often it was tried; 0 when it could not be read.
    attempts: u32,
    /// When it was set aside.
    #[schema(format = DateTime)]
    at: String,
    /// Whether it was put back.
    replayed: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LetterList {
    /// The newest first.
    items: Vec<Letter>,
}

/// A dead letter with what was in it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OpenedLetter {
    #[serde(flatten)]
    letter: Letter,
    /// What was in it, as text: the event's JSON, unless that was what was wrong.
    value: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Replayed {
    id: String,
    /// `put_back` now, or `already` before; then nothing was done.
    #[schema(example = "put_back")]
    outcome: &'static str,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            topic: letter.topic.as_str().to_owned(),
            group: letter.group,
            stood_at: letter.stood_at,
            room: letter.room.map(|room| room.to_string()),
            event_id: letter.event_id,
            error: letter.error,
            attempts: letter.attempts,
            at: letter.at.to_string(),
            replayed: letter.replayed,
        }
    }
}

#[utoipa::path(get, operation_id = "dead_letters", path = "/v1/admin/dlq", tag = "admin", params(Newest), security(("admin" = [])),
    responses((status = 200, body = LetterList), (status = 400, body = edge::ProblemBody), (status = 401, body = edge::ProblemBody)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<Newest>, QueryRejection>,
) -> Result<Json<LetterList>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let Query(newest) = query.map_err(|bad| Problem::bad_request("invalid_query", bad.body_text()))?;
    let limit = newest.limit.unwrap_or(LIMIT_USUAL);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request("invalid_limit", format!("limit: 1 to {LIMIT_MAX}")));
    }
    let letters = shared.ports.dead_letters.list(limit).await?;
    Ok(Json(LetterList { items: letters.into_iter().map(Letter::from).collect() }))
}

#[utoipa::path(get, operation_id = "dead_letter", path = "/v1/admin/dlq/{id}", tag = "admin", params(("id" = String, Path)), security(("admin" = [])),
    responses((status = 200, body = OpenedLetter), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<OpenedLetter>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let mut letter = shared.ports.dead_letters.show(&id).await?.ok_or_else(unknown)?;
    let value = std::mem::take(&mut letter.value);
    Ok(Json(OpenedLetter { letter: letter.into(), value }))
}

/// Publishes what was set aside once more; those who have handled it know its id and do nothing.
#[utoipa::path(post, operation_id = "replay_dead_letter", path = "/v1/admin/dlq/{id}/replay", tag = "admin", params(("id" = String, Path)), security(("admin" = [])),
    responses((status = 200, body = Replayed), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn replay(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<NoBody, Problem>,
) -> Result<Json<Replayed>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    body?;
    let outcome = match shared.ports.dead_letters.replay(&id).await? {
        Replay::PutBack => "put_back",
        Replay::Already => "already",
        Replay::Unknown => return Err(unknown()),
    };
    tracing::info!(letter = id, outcome, "an operator put a dead letter back");
    Ok(Json(Replayed { id, outcome }))
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_letter", "no dead letter has this id")
}
