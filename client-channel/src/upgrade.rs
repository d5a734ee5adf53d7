//! The WebSocket handshake (RFC 6455 4.2): hyper reads the request, tungstenite derives the key, and then the
//! bare connection is handed over, with what the visitor sent behind the request.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The one subprotocol spoken here.
pub const PROTOCOL: &str = "turnline.v1";
/// What the kernel keeps for a slow reader, in bytes; it doubles this and counts its own records in. Left to
/// itself it kept half a megabyte a socket after 12,000 unread figures.
const SEND_BUFFER_BYTES: usize = 8 * 1024;

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

    /// Answers 101 and hands the connection to `serve`, with the bytes that came early.
    pub fn answer(self, serve: impl FnOnce(std::net::TcpStream, Vec<u8>) + Send + 'static) -> Response {
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => match bare(upgraded) {
                    Ok((stream, early)) => serve(stream, early),
                    Err(error) => tracing::error!(%error, "a connection cannot be taken over; it is closed"),
                },
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

/// The connection beneath, in the system's hands alone.
fn bare(upgraded: Upgraded) -> io::Result<(std::net::TcpStream, Vec<u8>)> {
    let parts = downcast::<TokioIo<TcpStream>>(upgraded)
        .map_err(|_| io::Error::other("the connection is none of TCP; serve the channel over TCP alone"))?;
    let stream = parts.io.into_inner().into_std()?;
    SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok((stream, parts.read_buf.to_vec()))
}

fn names(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    list(headers, name).any(|item| item.eq_ignore_ascii_case(word))
}

fn list(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}
