//! The WebSocket handshake (RFC 6455 4.2), by hand for two reasons: small buffers from the first byte, and
//! access to the connection beneath, without which a close code is lost to a reset when unread bytes remain.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::message::CLIENT_BYTES_MAX;

/// The one subprotocol spoken here.
pub const PROTOCOL: &str = "turnline.v1";
/// What a visitor sends is a few bytes; more memory a socket buys nothing.
const READ_BUFFER_BYTES: usize = 512;

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A request that may become a WebSocket.
pub struct Upgrade {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
}

impl Upgrade {
    /// `None` when the request asks for no WebSocket, or for a version other than 13.
    pub fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let asked =
            names(headers, header::CONNECTION, "upgrade") && names(headers, header::UPGRADE, "websocket");
        let version = headers.get(header::SEC_WEBSOCKET_VERSION)?;
        if !asked || version != "13" {
            return None;
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
        Some(Self { on_upgrade: parts.extensions.remove::<OnUpgrade>()?, accept })
    }

    /// Answers 101 and hands the socket to `serve`, in a task of its own.
    pub fn answer<F>(self, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => serve(socket(upgraded).await).await,
                Err(error) => tracing::debug!(%error, "a visitor went away during the handshake"),
            }
        });
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().extend([
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
            (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL)),
        ]);
        answer
    }
}

/// The subprotocols a request offers.
pub fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

async fn socket(upgraded: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_BYTES_MAX))
        .max_frame_size(Some(CLIENT_BYTES_MAX));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await
}

fn names(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    list(headers, name).any(|item| item.eq_ignore_ascii_case(word))
}

fn list(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}
