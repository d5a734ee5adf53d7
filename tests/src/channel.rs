//! A visitor's channel: the WebSocket, read one message at a time under a deadline,
//! and the same messages as server-sent events.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::{SOON, Site};

/// An open WebSocket. It answers pings only while it is being read.
pub struct Channel {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The subprotocol the server chose.
    pub protocol: String,
    /// The last position pushed: no later one may be higher.
    last_position: Option<u64>,
}

/// What a socket can bring.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    Message(Value),
    /// The close code; 1006 when the connection ended without one.
    Closed(u16),
}

impl Site {
    /// Opens the channel of a ticket, as a browser would.
    #[track_caller]
    pub fn channel(&self, room: &str, ticket: &str) -> impl Future<Output = Channel> {
        let ticket = format!("ticket.{ticket}");
        async move {
            match self.try_channel(room, &["turnline.v1", &ticket]).await {
                Ok(channel) => {
                    assert_eq!(channel.protocol, "turnline.v1", "the subprotocol of the answer");
                    channel
                }
                Err(status) => panic!("the channel of {room} was refused with {status}"),
            }
        }
    }

    /// Tries to open a channel with these subprotocols; a refusal gives its HTTP status.
    pub async fn try_channel(&self, room: &str, protocols: &[&str]) -> Result<Channel, u16> {
        self.try_socket(&format!("/v1/rooms/{room}/channel"), protocols, &[]).await
    }

    /// Tries to open a WebSocket at `path` with these subprotocols and headers.
    pub async fn try_socket(
        &self,
        path: &str,
        protocols: &[&str],
        headers: &[(&'static str, &str)],
    ) -> Result<Channel, u16> {
        let mut request = format!("ws://{}{path}", self.address()).into_client_request().expect("a request");
        if !protocols.is_empty() {
            let value = HeaderValue::from_str(&protocols.join(", ")).expect("a header value");
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        match tokio::time::timeout(SOON, tokio_tungstenite::connect_async(request)).await {
            Err(_) => panic!("no answer to the upgrade of {path} within {SOON:?}"),
            Ok(Ok((socket, answer))) => {
                let protocol = answer.headers().get("sec-websocket-protocol");
                let protocol = protocol.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
                Ok(Channel { socket, protocol, last_position: None })
            }
            Ok(Err(Error::Http(answer))) => Err(answer.status().as_u16()),
            // Our client library refuses a server that chose none of the subprotocols it was offered.
            Ok(Err(error)) => panic!("the upgrade of {path} failed: {error}"),
        }
    }
}

impl Channel {
    /// The next message, or the end. Fails the test when neither comes soon.
    pub async fn next(&mut self) -> Frame {
        match tokio::time::timeout(SOON, self.read()).await {
            Ok(frame) => frame,
            Err(_) => panic!("nothing came over the channel within {SOON:?}"),
        }
    }

    /// The next message that is not a `room` notice; a close fails the test.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.next().await {
                Frame::Message(message) if message["type"] == "room" => {}
                Frame::Message(message) => return message,
                Frame::Closed(code) => panic!("the channel closed with {code} instead of a message"),
            }
        }
    }

    /// Reads on until a message of this type comes, skipping others, all within one deadline.
    pub async fn until(&mut self, kind: &str) -> Value {
        self.until_that(kind, |message| message["type"] == kind).await
    }

    /// Reads on until a message fulfils `wanted`; `what` names it for the failure.
    pub async fn until_that(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        let search = async {
            loop {
                match self.read().await {
                    Frame::Message(message) if wanted(&message) => return Some(message),
                    Frame::Message(message) => seen.push(message.to_string()),
                    Frame::Closed(code) => {
                        seen.push(format!("closed with {code}"));
                        return None;
                    }
                }
            }
        };
        match tokio::time::timeout(SOON, search).await {
            Ok(Some(message)) => message,
            Ok(None) | Err(_) => panic!("no `{what}` came within {SOON:?}; instead: {seen:?}"),
        }
    }

    /// Only listens, however long nothing comes, until the server closes; the close code.
    pub async fn listen(&mut self) -> u16 {
        loop {
            if let Frame::Closed(code) = self.read().await {
                return code;
            }
        }
    }

    /// Reads on until the server closes, which must be soon; the close code.
    pub async fn closed(&mut self) -> u16 {
        match tokio::time::timeout(SOON, self.listen()).await {
            Ok(code) => code,
            Err(_) => panic!("the server did not close the channel within {SOON:?}"),
        }
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends any text. A socket the server has just closed is no failure here: [`Channel::closed`] tells.
    pub async fn send_text(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        let _ = self.socket.send(Message::binary(bytes)).await;
    }

    /// Closes as a browser does when its tab closes.
    pub async fn close(mut self) {
        let _ = self.socket.close(None).await;
    }

    async fn read(&mut self) -> Frame {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Frame::Message(self.checked(text.as_str())),
                Some(Ok(Message::Binary(_))) => panic!("the server sent a binary message"),
                Some(Ok(Message::Close(close))) => {
                    return Frame::Closed(close.map_or(1005, |close| close.code.into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Frame::Closed(1006),
            }
        }
    }

    /// Every message is one JSON object, `type` first, and a position never grows.
    fn checked(&mut self, text: &str) -> Value {
        assert!(text.starts_with("{\"type\":"), "`type` comes first in a message: {text}");
        let message: Value = serde_json::from_str(text).expect("a JSON message");
        if let ("position", Some(position)) =
            (message["type"].as_str().unwrap_or_default(), message["position"].as_u64())
        {
            if let Some(last) = self.last_position {
                assert!(position <= last, "the position grew from {last} to {position}");
            }
            assert_eq!(message["ahead"].as_u64(), Some(position - 1), "ahead is position - 1: {text}");
            self.last_position = Some(position);
        }
        message
    }
}

/// An open stream of server-sent events.
pub struct EventStream {
    answer: reqwest::Response,
    pending: String,
}

impl Site {
    /// Opens the channel as server-sent events.
    pub async fn event_stream(&self, room: &str, ticket: &str) -> EventStream {
        let request = self.http.get(format!("{}/v1/rooms/{room}/channel", self.url()));
        let answer = request.bearer_auth(ticket).header("accept", "text/event-stream").send().await;
        let answer = answer.expect("an answer of the event stream");
        assert_eq!(answer.status().as_u16(), 200, "the event stream of {room}");
        let kind =
            answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "content type of the event stream: {kind}");
        EventStream { answer, pending: String::new() }
    }
}

impl EventStream {
    /// Reads on until a message of this type comes.
    pub async fn until(&mut self, kind: &str) -> Value {
        let search = async {
            loop {
                let message = self.next().await;
                if message["type"] == kind {
                    return message;
                }
            }
        };
        match tokio::time::timeout(SOON, search).await {
            Ok(message) => message,
            Err(_) => panic!("no `{kind}` came over the event stream within {SOON:?}"),
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.pending.split_once("\n\n") {
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(str::trim_start)
                    .collect();
                let message = (!data.is_empty()).then(|| data.join("\n"));
                self.pending = rest.to_owned();
                match message {
                    Some(text) => return serde_json::from_str(&text).expect("a JSON message"),
                    // A comment keeps the connection alive and says nothing.
                    None => continue,
                }
            }
            let chunk = self.answer.chunk().await.expect("to read the event stream");
            let chunk = chunk.expect("the event stream ended before the message that was waited for");
            self.pending.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }
}
