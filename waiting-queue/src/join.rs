//! `POST /v1/rooms/{room}/tickets`: a place for everyone, two for nobody.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use edge::{Problem, bearer, idempotency_key, read_json};
use kernel::ports::{JoinAnswer, RoomRecord};
use kernel::room::{Join, Joined, Standing};
use kernel::session::Session;
use kernel::ticket::Ticket;
use kernel::visitor_token::{self, BadVisitor, Visitor};
use kernel::words::{Digest, EndReason, LaneName, RoomId};
use serde::Deserialize;

use crate::Shared;
use crate::answer::TicketAnswer;
use crate::outlook::Outlook;
use crate::ticket::{seen, ticket_of};

/// An idempotency key that names a place has at least 16 random bytes, so at least as many characters.
const KEY_CHARS_MIN: usize = 16;
/// Seconds after which a full room is worth another try.
const FULL_RETRY_SECONDS: u64 = 30;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinBody {
    /// A JWT (HS256) made by the shop's backend, in rooms that know their visitors.
    visitor_token: Option<String>,
    /// A lane; other than the default it has to be granted by the visitor token.
    lane: Option<String>,
}

/// Takes a place in line, or gives the one already held.
#[utoipa::path(
    post, path = "/v1/rooms/{room}/tickets", tag = "waiting queue",
    params(("room" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "at least 16 random bytes; 10 minutes")),
    request_body = JoinBody,
    responses((status = 201, body = TicketAnswer), (status = 200, body = TicketAnswer, description = "the place already held"),
        (status = "4XX", body = edge::ProblemBody), (status = 503, body = edge::ProblemBody))
)]
pub(crate) async fn join(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    request: Request,
) -> Result<(StatusCode, TicketAnswer), Problem> {
    // The hottest call there is: the head is looked at where it stands, not copied by extractors.
    let (Parts { headers, extensions, .. }, body) = request.into_parts();
    let body: JoinBody = read_json(&headers, body).await?;
    let record = shared.rooms.named(&room).await?;
    let key = place_key(&headers)?;
    let shown = bearer(&headers)?.map(|text| ticket_of(&shared, &record, text)).transpose()?;
    let visitor = visitor(&shared, &record, body.visitor_token.as_deref())?;
    if visitor.is_none() && record.visitor_key.is_some() {
        return held_by_ticket(&shared, &record, shown).await;
    }
    if let (Some(shown), Some(visitor)) = (&shown, &visitor)
        && shown.sub.as_deref() != Some(visitor.sub.as_str())
    {
        return Err(identity_conflict());
    }
    let lane = lane(&record, body.lane.as_deref(), visitor.as_ref())?;
    shared.rate.check(&extensions)?;
    if let Some(shown) = &shown {
        // A place that the store had lost is there again before anybody looks for it.
        seen(&shared, &record, shown).await?;
    }

    let sub = visitor.map(|visitor| visitor.sub);
    let name = record.birth.room.as_str().as_bytes();
    let whose = sub.as_deref().unwrap_or_default().as_bytes();
    let wish = Join {
        lane,
        holding: shown.as_ref().map(|shown| shown.number),
        visitor: sub.as_ref().map(|sub| edge::visitor_digest(&record.birth.room, sub)),
        key: key.map(|key| Digest::of(&[b"key", name, whose, key.as_bytes()])),
    };
    let answered = place(&shared, &record.birth.room, wish).await?;
    let (status, number) = match answered.joined {
        Joined::New(number) => (StatusCode::CREATED, number),
        Joined::Held(number) => (StatusCode::OK, number),
        Joined::Closed => return Err(room_closed()),
        Joined::Full => return Err(queue_full()),
        Joined::Revoked => return Err(revoked()),
        Joined::Conflict => return Err(identity_conflict()),
    };
    let sub = sub.or_else(|| shown.and_then(|shown| shown.sub));
    let ticket = Ticket { number, sub };
    let mut answer =
        TicketAnswer::new(&record, number, Outlook::from(&answered.seen)).ok_or_else(Problem::unavailable)?;
    answer.ticket = Some(shared.ports.tickets.sign(&record.birth, &ticket));
    Ok((status, answer))
}

/// A number for the wish. A slot whose time is over is no place any more, even if no sweep has run yet: it
/// ends here, and the visitor joins anew.
async fn place(shared: &Shared, room: &RoomId, wish: Join) -> Result<JoinAnswer, Problem> {
    let answered = shared.joiner.join(room, wish.clone()).await?;
    let (Joined::Held(number), Standing::Session(Session::Active { expires_at, .. })) =
        (answered.joined, answered.seen.standing)
    else {
        return Ok(answered);
    };
    let now = shared.now();
    if now < expires_at {
        return Ok(answered);
    }
    edge::end(shared.ports.store.as_ref(), room, number, EndReason::Expired, now).await?;
    shared.joiner.join(room, wish).await
}

/// Without a visitor token a room that knows its visitors answers only who shows a ticket that still counts.
async fn held_by_ticket(
    shared: &Shared,
    record: &RoomRecord,
    shown: Option<Ticket>,
) -> Result<(StatusCode, TicketAnswer), Problem> {
    let missing = || {
        let detail = "this room knows its visitors: send visitor_token, a JWT made by the shop";
        Problem::unauthorized("visitor_token_required", detail)
    };
    let shown = shown.ok_or_else(missing)?;
    let seen = seen(shared, record, &shown).await?;
    let mut answer = TicketAnswer::new(record, shown.number, Outlook::from(&seen)).ok_or_else(missing)?;
    if answer.reason.is_some() {
        return Err(missing());
    }
    answer.ticket = Some(shared.ports.tickets.sign(&record.birth, &shown));
    Ok((StatusCode::OK, answer))
}

fn place_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let key = idempotency_key(headers)?;
    if key.is_some_and(|key| key.len() < KEY_CHARS_MIN) {
        let detail =
            "a key that names a place is made of at least 16 random bytes, so that nobody guesses it";
        return Err(Problem::bad_request("invalid_idempotency_key", detail));
    }
    Ok(key)
}

fn visitor(shared: &Shared, record: &RoomRecord, token: Option<&str>) -> Result<Option<Visitor>, Problem> {
    match (&record.visitor_key, token) {
        (_, None) => Ok(None),
        (None, Some(_)) => {
            let detail = "this room does not know its visitors: leave visitor_token out";
            Err(Problem::bad_request("visitor_token_unexpected", detail))
        }
        (Some(key), Some(token)) => match visitor_token::verify(token, key.as_bytes(), shared.now()) {
            Ok(visitor) => Ok(Some(visitor)),
            Err(bad @ BadVisitor::Forged) => {
                Err(Problem::unauthorized("invalid_visitor_token", bad.to_string()))
            }
            Err(bad @ BadVisitor::Expired) => {
                Err(Problem::unauthorized("visitor_token_expired", bad.to_string()))
            }
            Err(bad @ BadVisitor::Sub) => Err(Problem::bad_request("invalid_sub", bad.to_string())),
        },
    }
}

/// The lane asked for, if it was granted; else the one that was granted; else the default.
fn lane(record: &RoomRecord, asked: Option<&str>, visitor: Option<&Visitor>) -> Result<LaneName, Problem> {
    let granted =
        visitor.and_then(|visitor| visitor.lane.clone()).filter(|lane| record.policy.has_lane(lane));
    let Some(asked) = asked else { return Ok(granted.unwrap_or_else(LaneName::default_lane)) };
    let asked =
        LaneName::parse(asked).map_err(|bad| Problem::bad_request("invalid_lane", bad.to_string()))?;
    if asked.is_default() || granted.as_ref() == Some(&asked) {
        Ok(asked)
    } else {
        let detail =
            "this lane has to be granted by the visitor token; leave lane out to join the default one";
        Err(Problem::new(StatusCode::FORBIDDEN, "lane_forbidden", detail))
    }
}

fn identity_conflict() -> Problem {
    let detail = "ticket, Idempotency-Key and visitor_token name different visitors; send those of one";
    Problem::new(StatusCode::CONFLICT, "identity_conflict", detail)
}

fn room_closed() -> Problem {
    Problem::new(StatusCode::CONFLICT, "room_closed", "this room is closed and takes nobody in")
}

fn queue_full() -> Problem {
    let detail = "as many wait as this room takes; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", detail).retry_after(FULL_RETRY_SECONDS)
}

fn revoked() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "revoked", "the operator took this visitor's place away")
}
