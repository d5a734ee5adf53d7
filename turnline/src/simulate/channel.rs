//! A visitor's ear: WebSocket, server-sent events or polling, reconnecting by itself.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error as WsError, Message, http::Uri};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::args::Medium;
use super::chance::Chance;
use super::http::{Api, Away, Call, backoff};
use super::message::{Mine, Position, ServerMessage};
use super::sse::EventLines;

const OPENING: Duration = Duration::from_secs(20);
const POLL_LEAST: Duration = Duration::from_millis(500);
const POLL_MOST: Duration = Duration::from_secs(60);
const MESSAGE_MOST: usize = 16 * 1024;

/// What came over the ear.
#[derive(Debug)]
pub enum Heard {
    Connected {
        took: Duration,
    },
    Message(ServerMessage),
    /// The answer of a poll; `place` where the ticket is waiting.
    Mine {
        mine: Mine,
        place: Result<Position, String>,
        asked: Instant,
    },
    Malformed(String),
    Cut,
    Refused(u16),
    Away(String),
}

type Events = Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>;

enum Link {
    Down,
    Socket(Box<WebSocketStream<TcpStream>>),
    Events { stream: Events, lines: EventLines },
    Poll { next: Instant },
}

/// The connection of one visitor and what is needed to get it back.
pub struct Channel {
    medium: Medium,
    ticket: String,
    link: Link,
    failing_since: Option<Instant>,
    attempts: u32,
}

impl Channel {
    pub fn new(medium: Medium, ticket: String) -> Channel {
        let link = match medium {
            Medium::Poll => Link::Poll { next: Instant::now() },
            Medium::WebSocket | Medium::Events => Link::Down,
        };
        Channel { medium, ticket, link, failing_since: None, attempts: 0 }
    }

    /// Waits for the next thing to hear. May be dropped at any point and called again.
    pub async fn hear(&mut self, api: &Api, chance: &mut Chance) -> Heard {
        match &mut self.link {
            Link::Down => self.connect(api, chance).await,
            Link::Poll { next } => {
                tokio::time::sleep_until(*next).await;
                self.poll(api, chance).await
            }
            Link::Socket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return self.said(text.as_bytes()),
                    Some(Ok(Message::Binary(_))) => return Heard::Malformed("a binary message".into()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return self.cut(),
                }
            },
            Link::Events { stream, lines } => loop {
                if let Some(data) = lines.next_event() {
                    return self.said(&data);
                }
                match stream.next().await {
                    Some(Ok(bytes)) => lines.push(&bytes),
                    Some(Err(_)) | None => return self.cut(),
                }
            },
        }
    }

    /// Sends a client message; false when there is no socket to send it over.
    pub async fn say(&mut self, text: &'static str) -> bool {
        match &mut self.link {
            Link::Socket(socket) => socket.send(Message::text(text)).await.is_ok(),
            Link::Down | Link::Events { .. } | Link::Poll { .. } => false,
        }
    }

    /// Drops the connection without a word, as a closed tab or a lost network does.
    pub fn hang_up(&mut self) {
        if !matches!(self.link, Link::Poll { .. }) {
            self.link = Link::Down;
        }
    }

    fn said(&mut self, bytes: &[u8]) -> Heard {
        (self.failing_since, self.attempts) = (None, 0);
        match serde_json::from_slice(bytes) {
            Ok(message) => Heard::Message(message),
            Err(error) => Heard::Malformed(error.to_string()),
        }
    }

    fn cut(&mut self) -> Heard {
        self.link = Link::Down;
        self.attempts += 1;
        Heard::Cut
    }

    async fn connect(&mut self, api: &Api, chance: &mut Chance) -> Heard {
        loop {
            if self.attempts > 0 {
                tokio::time::sleep(backoff(self.attempts, chance)).await;
            }
            self.attempts += 1;
            match open(self.medium, api, &self.ticket).await {
                Ok((link, took)) => {
                    self.link = link;
                    return Heard::Connected { took };
                }
                Err(Closed::Refused(status)) => return Heard::Refused(status),
                Err(Closed::Away(why)) => {
                    let since = *self.failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > api.outage {
                        return Heard::Away(format!("channel: {why}"));
                    }
                }
            }
        }
    }

    async fn poll(&mut self, api: &Api, chance: &mut Chance) -> Heard {
        let call = Call::get(api.room_path("/tickets/me")).bearer(&self.ticket);
        let answer = match api.call(call, chance).await {
            Ok(answer) => answer,
            Err(Away(why)) => return Heard::Away(why),
        };
        self.link = Link::Poll { next: Instant::now() + Duration::from_secs(1) };
        match answer.read::<Mine>() {
            Ok(mine) => {
                let wished = Duration::try_from_secs_f64(mine.poll_after_seconds.unwrap_or(1.0));
                let pause = wished.unwrap_or(POLL_LEAST).clamp(POLL_LEAST, POLL_MOST);
                self.link = Link::Poll { next: Instant::now() + pause };
                Heard::Mine { mine, place: answer.read(), asked: Instant::now() - answer.took }
            }
            Err(_) if matches!(answer.status, 401 | 403 | 404) => Heard::Refused(answer.status),
            Err(why) => Heard::Malformed(why),
        }
    }
}

enum Closed {
    Refused(u16),
    Away(String),
}

/// The status a ticket gets at the channel's door: 101 when it opens.
///
/// # Errors
/// In words, when nothing was answered.
pub async fn knock(api: &Api, ticket: &str) -> Result<u16, String> {
    match open(Medium::WebSocket, api, ticket).await {
        Ok(_) => Ok(101),
        Err(Closed::Refused(status)) => Ok(status),
        Err(Closed::Away(why)) => Err(why),
    }
}

async fn open(medium: Medium, api: &Api, ticket: &str) -> Result<(Link, Duration), Closed> {
    let _permit = api.opening.acquire().await.map_err(|e| Closed::Away(e.to_string()))?;
    let began = Instant::now();
    let link = match medium {
        Medium::Events => open_events(api, ticket).await?,
        Medium::WebSocket | Medium::Poll => {
            let opening = tokio::time::timeout(OPENING, open_socket(api, ticket)).await;
            opening.map_err(|_| Closed::Away("no answer in time".into()))??
        }
    };
    Ok((link, began.elapsed()))
}

async fn open_socket(api: &Api, ticket: &str) -> Result<Link, Closed> {
    let away = |e: std::io::Error| Closed::Away(e.to_string());
    let host = api.base.host_str().unwrap_or_default();
    let port = api.base.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(away)?;
    stream.set_nodelay(true).map_err(away)?;
    let prefix = api.base.path().trim_end_matches('/');
    let uri = format!("ws://{host}:{port}{prefix}{}", api.room_path("/channel"));
    let uri: Uri = uri.parse().map_err(|_| Closed::Away("an address that is none".into()))?;
    let request = ClientRequestBuilder::new(uri)
        .with_sub_protocol("turnline.v1")
        .with_sub_protocol(format!("ticket.{ticket}"));
    match client_async_with_config(request, stream, Some(small_buffers())).await {
        Ok((socket, _)) => Ok(Link::Socket(Box::new(socket))),
        Err(WsError::Http(response)) => Err(refusal(response.status().as_u16())),
        Err(error) => Err(Closed::Away(error.to_string())),
    }
}

async fn open_events(api: &Api, ticket: &str) -> Result<Link, Closed> {
    let response = api.events(ticket).await.map_err(Closed::Away)?;
    match response.status().as_u16() {
        200 => {
            let stream = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
            Ok(Link::Events { stream: Box::pin(stream), lines: EventLines::default() })
        }
        status => Err(refusal(status)),
    }
}

/// A busy or restarting system is away; everything else is its word about the ticket.
fn refusal(status: u16) -> Closed {
    match status {
        429 | 502 | 503 | 504 => Closed::Away(format!("answered {status}")),
        _ => Closed::Refused(status),
    }
}

/// Default buffers cost 128 KiB a connection; thousands of visitors share one process here.
fn small_buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_MOST)
        .max_message_size(Some(MESSAGE_MOST))
        .max_frame_size(Some(MESSAGE_MOST))
}
