//! The way in: who asks, with which ticket, over what; refused with a problem before anything is upgraded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::mirror::{Level, Mirror};
use edge::{Problem, ProblemBody, bearer};
use kernel::ports::RoomRecord;
use kernel::room::Standing;
use kernel::ticket::Ticket;
use kernel::words::EndReason;
use tokio::time::timeout;

use crate::core::Core;
use crate::door::Place;
use crate::message::ServerMessage;
use crate::shard::{NewSocket, Post, Shards};
use crate::stream;
use crate::upgrade::{PROTOCOL, Upgrade, offered};
use crate::visit::Visit;

/// What a ticket's subprotocol begins with.
const TICKET_PREFIX: &str = "ticket.";

/// A ticket's channel: a WebSocket (subprotocols `turnline.v1` and `ticket.<ticket>`), or the same messages
/// as server-sent events with `Accept: text/event-stream` and the ticket as bearer.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/channel",
    tag = "client channel",
    params(("room" = String, Path, description = "The room")),
    responses(
        (status = 101, description = "The WebSocket; each message one JSON object", body = ServerMessage<'static>),
        (status = 200, description = "The event stream", content_type = "text/event-stream", body = String),
        (status = 400, description = "`subprotocol_required`", content_type = "application/problem+json", body = ProblemBody),
        (status = 401, description = "`invalid_ticket`", content_type = "application/problem+json", body = ProblemBody),
        (status = 404, description = "`unknown_room`", content_type = "application/problem+json", body = ProblemBody),
        (status = 426, description = "`upgrade_required`", content_type = "application/problem+json", body = ProblemBody),
        (status = 429, description = "`too_many_channels`: from one address, with `Retry-After`", content_type = "application/problem+json", body = ProblemBody),
        (status = 503, description = "`channel_full`, `channel_busy`, `draining` or `unavailable`, with `Retry-After`", content_type = "application/problem+json", body = ProblemBody),
    )
)]
pub async fn channel(
    State(core): State<Arc<Core>>,
    room: Result<Path<String>, PathRejection>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    request: Request,
) -> Result<Response, Problem> {
    if core.draining.is_cancelled() {
        let detail = "this node stops; connect again";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail).retry_after(1));
    }
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    // What is no text at all names no room either.
    let room = room.map(|Path(room)| room).unwrap_or_default();
    let (mut parts, _) = request.into_parts();
    // The room first: an unknown one is 404 whatever else is wrong. Then the ticket, over whatever it came.
    let record = core.rooms.named(&room).await?;
    let upgrade = Upgrade::of(&mut parts);
    let offered_ticket = offered(&parts.headers).find_map(|protocol| protocol.strip_prefix(TICKET_PREFIX));
    if let Some(upgrade) = upgrade {
        let ticket = ticket_of(&core, &record, offered_ticket)?;
        if !offered(&parts.headers).any(|protocol| protocol == PROTOCOL) {
            let detail = "offer the subprotocols turnline.v1 and ticket.<ticket>";
            return Err(Problem::bad_request("subprotocol_required", detail));
        }
        let place = core.door.admit(ticket.number, address, Instant::now())?;
        let guest = guest(&core, record, ticket, place).await?;
        let shards = core.shards().map_err(no_shards)?;
        return Ok(upgrade.answer(move |stream, early| guest.sit_down(&shards, stream, early)));
    }
    let shown = bearer(&parts.headers)?.or(offered_ticket);
    if wants_stream(&parts.headers) {
        let ticket = ticket_of(&core, &record, shown)?;
        let place = core.door.admit(ticket.number, address, Instant::now())?;
        let Guest { visit, over } = guest(&core, record, ticket, place).await?;
        return Ok(stream::answer(visit, over, core.shards().map_err(no_shards)?));
    }
    if shown.is_some() {
        ticket_of(&core, &record, shown)?;
    }
    Ok(upgrade_required())
}

fn ticket_of(core: &Core, record: &RoomRecord, text: Option<&str>) -> Result<Ticket, Problem> {
    let verified = text.and_then(|text| core.ports.tickets.verify(&record.birth, text).ok());
    verified.ok_or_else(|| {
        Problem::unauthorized("invalid_ticket", "this is no ticket of this room; join to get one")
    })
}

/// Somebody who may sit down.
struct Guest {
    visit: Visit,
    /// The ticket ended: it takes no seat, and hears only its reason.
    over: Option<EndReason>,
}

/// Waits until this node knows at least what the store knew just now, so that a position never grows from
/// node to node; one look at the store serves all who come meanwhile.
async fn guest(
    core: &Arc<Core>,
    record: Arc<RoomRecord>,
    ticket: Ticket,
    place: Place,
) -> Result<Guest, Problem> {
    let mirror = core.mirrors.follow(&record.birth.room).await?;
    match mirror.level(&core.ports.store, core.config.catch_up).await? {
        Level::Reached => {}
        Level::Behind => return Err(behind(&mirror)),
    }
    let over = match mirror.read(|state| state.standing(ticket.number)) {
        Some(Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_)) => None,
        Some(Standing::Ended(_) | Standing::Unknown) | None => over(core, &record, &ticket, &mirror).await?,
    };
    let hall = core.hall(&mirror).map_err(no_shards)?;
    Ok(Guest { visit: Visit::new(hall, record, ticket, place), over })
}

/// Asks the store about somebody who has neither a place in line nor a slot here: how the ticket ended, if it
/// did. One that the store had lost has its place again now.
async fn over(
    core: &Core,
    record: &RoomRecord,
    ticket: &Ticket,
    mirror: &Mirror,
) -> Result<Option<EndReason>, Problem> {
    let (store, now) = (core.ports.store.as_ref(), core.ports.clock.now());
    let seen = edge::seen(store, &record.birth.room, ticket, now).await?;
    match seen.standing {
        // Nothing to wait for: it hears its reason, and that is all.
        Standing::Ended(reason) => Ok(Some(reason)),
        Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_) => {
            let caught_up = timeout(core.config.catch_up, mirror.reached(seen.room.version)).await;
            caught_up.map_err(|_| behind(mirror)).map(|()| None)
        }
        // A good ticket that the store does not know: it may once it has caught up with itself.
        Standing::Unknown => Err(Problem::unavailable()),
    }
}

fn behind(mirror: &Mirror) -> Problem {
    let (room, version) = (mirror.room(), mirror.version());
    tracing::warn!(%room, version, "this node lags behind the store; a visitor was sent away");
    Problem::unavailable()
}

impl Guest {
    fn sit_down(self, shards: &Shards, stream: std::net::TcpStream, early: Vec<u8>) {
        let Self { visit, over } = self;
        let shard = shards.of(visit.ticket.number);
        shard.post(Post::Socket(Box::new(NewSocket { stream, early, visit, over })));
    }
}

fn no_shards(error: std::io::Error) -> Problem {
    tracing::error!(%error, "the channel's threads cannot be started");
    Problem::unavailable()
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

fn upgrade_required() -> Response {
    let detail = "connect by WebSocket (version 13), or ask for text/event-stream";
    let mut answer = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail).into_response();
    answer.headers_mut().extend([
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
    ]);
    answer
}
