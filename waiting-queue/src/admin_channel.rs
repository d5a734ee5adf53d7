//! `…/channel` of the operator: a room's figures, live. Browsers cannot send headers with a WebSocket, so
//! the token also travels as subprotocol `admin.<base64url>`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use edge::{Problem, require_admin};
use kernel::words::RoomId;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Shared;
use crate::admin::Stats;

const TICK: Duration = Duration::from_secs(1);
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// How long operators have to take their leave when the process stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// The operators who look on.
#[derive(Default)]
pub(crate) struct Operators {
    leaving: CancellationToken,
    channels: TaskTracker,
}

impl Operators {
    /// Tells all to connect again, and waits until they have heard it.
    pub(crate) async fn dismiss(&self) {
        self.leaving.cancel();
        self.channels.close();
        // Who does not listen is not waited for.
        let _ = tokio::time::timeout(FAREWELL, self.channels.wait()).await;
    }
}

#[derive(Serialize)]
struct StatsMessage<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    stats: &'a Stats,
}

/// A WebSocket that tells the room's figures whenever they changed, at most once a second.
#[utoipa::path(get, operation_id = "live_stats", path = "/v1/admin/rooms/{room}/channel", tag = "admin", params(("room" = String, Path)), security(("admin" = [])),
    responses((status = 101), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn channel(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    if !token_in_subprotocol(&shared, &headers) {
        require_admin(&shared.ports.admin, &headers)?;
    }
    let record = shared.rooms.named(&room).await?;
    let upgrade = upgrade.map_err(|why| Problem::bad_request("websocket_required", why.to_string()))?;
    let room = record.birth.room.clone();
    let upgrade =
        upgrade.protocols(["turnline.v1"]).max_message_size(MESSAGE_BYTES_MAX).read_buffer_size(512);
    let channel = shared.operators.channels.token();
    Ok(upgrade.on_upgrade(move |socket| async move {
        tell(socket, shared, room).await;
        drop(channel);
    }))
}

fn token_in_subprotocol(shared: &Shared, headers: &HeaderMap) -> bool {
    let offered =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut names = offered.flat_map(|line| line.split(',')).map(str::trim);
    names.any(|name| {
        let token = name.strip_prefix("admin.").and_then(|token| BASE64.decode(token).ok());
        token
            .and_then(|token| String::from_utf8(token).ok())
            .is_some_and(|token| shared.ports.admin.is(&token))
    })
}

async fn tell(mut socket: WebSocket, shared: Arc<Shared>, room: RoomId) {
    let mut ticks = tokio::time::interval(TICK);
    let mut told = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.operators.leaving.cancelled() => {
                let again = CloseFrame { code: close_code::RESTART, reason: "".into() };
                // Whether or not it is heard, this is the end.
                let _ = socket.send(Message::Close(Some(again))).await;
                return;
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                // The operator's page says nothing; whoever does is not it.
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return,
            }
        }
        let Ok(summary) = shared.ports.store.summary(&room).await else { continue };
        let stats = Stats::new(&room, summary);
        if told.as_ref() == Some(&stats) {
            continue;
        }
        let Ok(text) = serde_json::to_string(&StatsMessage { r#type: "stats", stats: &stats }) else {
            return;
        };
        if socket.send(Message::Text(text.into())).await.is_err() {
            return;
        }
        told = Some(stats);
    }
}
