//! `…/tickets/me`: the polling fallback, renewal, and leaving.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use edge::{NoBody, Problem, bearer};
use kernel::ports::{RoomRecord, Seen};
use kernel::room::Standing;
use kernel::session::{Session, Terms};
use kernel::ticket::Ticket;
use kernel::words::{EndReason, Ranges, Timestamp};

use crate::Shared;
use crate::answer::TicketAnswer;
use crate::outlook::{Outlook, outlook};

/// Where the ticket stands; an admitted one comes with its pass.
#[utoipa::path(
    get, path = "/v1/rooms/{room}/tickets/me", tag = "waiting queue", params(("room" = String, Path)),
    security(("ticket" = [])),
    responses((status = 200, body = TicketAnswer), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody))
)]
pub(crate) async fn status(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    // The extractor of the headers alone would copy them, and this call comes from a whole crowd.
    request: Request,
) -> Result<TicketAnswer, Problem> {
    let (record, ticket) = caller(&shared, &room, request.headers()).await?;
    shared.polls.note(&record.birth.room, ticket.number);
    let seen = outlook(&shared, &record, &ticket).await?;
    match seen.standing {
        Standing::Session(session) => {
            let (terms, now) = (Terms::from(&record.policy), shared.now());
            let store = shared.ports.store.as_ref();
            let held = edge::claim(store, &record.birth.room, ticket.number, session, terms, now).await?;
            match held {
                Some(session) => admitted(&shared, &record, &ticket, seen, session, now),
                None => ended(&shared, &record, &ticket).await,
            }
        }
        Standing::Unknown | Standing::Prequeue | Standing::Waiting(_) | Standing::Ended(_) => {
            TicketAnswer::new(&record, ticket.number, seen).ok_or_else(invalid_ticket)
        }
    }
}

/// More time for an admitted visitor: a new pass.
#[utoipa::path(
    post, path = "/v1/rooms/{room}/tickets/me/renew", tag = "waiting queue", params(("room" = String, Path)),
    security(("ticket" = [])),
    responses((status = 200, body = TicketAnswer), (status = 401, body = edge::ProblemBody), (status = 409, body = edge::ProblemBody))
)]
pub(crate) async fn renew(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<NoBody, Problem>,
) -> Result<TicketAnswer, Problem> {
    let (record, ticket) = caller(&shared, &room, &headers).await?;
    body?;
    let seen = seen(&shared, &record, &ticket).await?;
    let refuse = |code, detail: &str| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    match seen.standing {
        Standing::Session(session) => {
            let (terms, now) = (Terms::from(&record.policy), shared.now());
            let store = shared.ports.store.as_ref();
            match edge::renew(store, &record.birth.room, ticket.number, session, terms, now).await? {
                Some(session) => admitted(&shared, &record, &ticket, Outlook::from(&seen), session, now),
                None => refuse("session_over", "the time to renew has passed; join again"),
            }
        }
        Standing::Prequeue | Standing::Waiting(_) => refuse("not_admitted", "this visitor still waits"),
        Standing::Ended(_) => refuse("session_over", "this ticket has ended; join again"),
        Standing::Unknown => Err(invalid_ticket()),
    }
}

/// Leaves the line, or gives the slot back; again does nothing.
#[utoipa::path(
    delete, path = "/v1/rooms/{room}/tickets/me", tag = "waiting queue", params(("room" = String, Path)),
    security(("ticket" = [])),
    responses((status = 204), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody))
)]
pub(crate) async fn leave(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<NoBody, Problem>,
) -> Result<StatusCode, Problem> {
    let (record, ticket) = caller(&shared, &room, &headers).await?;
    body?;
    if !remove(&shared, &record, ticket.number, EndReason::Left).await? {
        // Only a ticket that the store had lost is found now, and leaves after all.
        if let Standing::Prequeue | Standing::Waiting(_) = seen(&shared, &record, &ticket).await?.standing {
            remove(&shared, &record, ticket.number, EndReason::Left).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a number out of the line or out of its slot; false when it was in neither.
pub(crate) async fn remove(
    shared: &Shared,
    record: &RoomRecord,
    number: u64,
    reason: EndReason,
) -> Result<bool, Problem> {
    let (store, room, now) = (shared.ports.store.as_ref(), &record.birth.room, shared.now());
    // Who is called between the two is found by the second.
    let departed = store.depart(room, Ranges::one(number), reason, now).await?;
    Ok(!departed.is_empty() || edge::end(store, room, number, reason, now).await?)
}

/// Where a ticket stands, put back first if the store had lost it.
pub(crate) async fn seen(shared: &Shared, record: &RoomRecord, ticket: &Ticket) -> Result<Seen, Problem> {
    Ok(edge::seen(shared.ports.store.as_ref(), &record.birth.room, ticket, shared.now()).await?)
}

pub(crate) fn ticket_of(shared: &Shared, record: &RoomRecord, text: &str) -> Result<Ticket, Problem> {
    shared.ports.tickets.verify(&record.birth, text).map_err(|_| invalid_ticket())
}

pub(crate) fn invalid_ticket() -> Problem {
    Problem::unauthorized("invalid_ticket", "this is no ticket of this room; join to get one")
}

async fn caller(
    shared: &Shared,
    room: &str,
    headers: &HeaderMap,
) -> Result<(Arc<RoomRecord>, Ticket), Problem> {
    let record = shared.rooms.named(room).await?;
    let missing = || Problem::unauthorized("ticket_required", "send Authorization: Bearer with the ticket");
    let ticket = ticket_of(shared, &record, bearer(headers)?.ok_or_else(missing)?)?;
    Ok((record, ticket))
}

fn admitted(
    shared: &Shared,
    record: &RoomRecord,
    ticket: &Ticket,
    seen: Outlook,
    session: Session,
    now: Timestamp,
) -> Result<TicketAnswer, Problem> {
    let mut answer = TicketAnswer::new(record, ticket.number, seen).ok_or_else(invalid_ticket)?;
    let (ports, terms) = (&shared.ports, Terms::from(&record.policy));
    let issued = edge::pass::issue(&ports.tickets, &ports.passes, record, ticket, session, terms, now)?;
    answer.pass = Some(issued.pass);
    answer.expires_at = Some(issued.expires_at);
    answer.go_to.clone_from(&record.policy.go_to);
    Ok(answer)
}

/// The session ran out between the look and the claim.
async fn ended(shared: &Shared, record: &RoomRecord, ticket: &Ticket) -> Result<TicketAnswer, Problem> {
    let mut seen = Outlook::from(&seen(shared, record, ticket).await?);
    if let Standing::Session(_) = seen.standing {
        // Its time is over even if no sweep has run yet.
        seen.standing = Standing::Ended(EndReason::Expired);
    }
    TicketAnswer::new(record, ticket.number, seen).ok_or_else(invalid_ticket)
}
