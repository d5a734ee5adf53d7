//! The other end: a visitor's WebSocket, read message by message, and the event stream.

use futures_util::{SinkExt, StreamExt};
use kernel::words::Number;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::scene::{SOON, Scene};

pub struct Visitor(WebSocketStream<TcpStream>);

#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Message(Value),
    /// The close code; 1006 without one.
    Closed(u16),
}

impl Scene {
    pub async fn connect(&self, number: Number) -> Visitor {
        let ticket = format!("ticket.{}", self.ticket(number));
        self.try_connect("demo", &["turnline.v1", &ticket]).await.unwrap_or_else(|refusal| {
            panic!("the channel was refused: {refusal:?}");
        })
    }

    /// A refusal gives status, code of the problem, and whether it says when to come back.
    pub async fn try_connect(&self, room: &str, protocols: &[&str]) -> Result<Visitor, (u16, String, bool)> {
        let address = format!("ws://{}/v1/rooms/{room}/channel", self.address);
        let mut request = address.into_client_request().unwrap();
        if !protocols.is_empty() {
            let value = HeaderValue::from_str(&protocols.join(", ")).unwrap();
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], "turnline.v1");
                Ok(Visitor(socket))
            }
            Err(Error::Http(answer)) => {
                let body: Value = serde_json::from_slice(answer.body().as_deref().unwrap_or(b"{}")).unwrap();
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                Err((answer.status().as_u16(), code, answer.headers().contains_key("retry-after")))
            }
            Err(other) => panic!("the handshake failed: {other}"),
        }
    }
}

impl Visitor {
    /// The next message or the end. Pings are answered on the way.
    pub async fn hear(&mut self) -> Heard {
        match tokio::time::timeout(SOON, self.read()).await {
            Ok(heard) => heard,
            Err(_) => panic!("nothing was heard within {SOON:?}"),
        }
    }

    /// Reads on until a message of this type comes.
    pub async fn until(&mut self, kind: &str) -> Value {
        let mut others = Vec::new();
        loop {
            match self.hear().await {
                Heard::Message(message) if message["type"] == kind => return message,
                Heard::Closed(code) => panic!("closed with {code}, not `{kind}`; before: {others:?}"),
                Heard::Message(other) => others.push(other),
            }
        }
    }

    /// Reads positions until this one; each is lower than the one before, or says something else new.
    pub async fn until_position(&mut self, wanted: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        loop {
            let position = self.until("position").await["position"].as_u64().unwrap();
            assert!(positions.last().is_none_or(|last| position <= *last), "{position} after {positions:?}");
            positions.push(position);
            if position == wanted {
                return positions;
            }
        }
    }

    /// Reads on to the end: the last message, and the close code.
    pub async fn end(&mut self) -> (Option<Value>, u16) {
        let mut last = None;
        loop {
            match self.hear().await {
                Heard::Message(message) => last = Some(message),
                Heard::Closed(code) => return (last, code),
            }
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        // Whoever was closed in between hears so.
        let _ = self.0.send(message).await;
    }

    async fn read(&mut self) -> Heard {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    assert!(text.starts_with("{\"type\":\""), "type is not first: {text}");
                    return Heard::Message(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(close))) => {
                    return Heard::Closed(close.map_or(1005, |close| close.code.into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("the server sent {other:?}"),
                Some(Err(_)) | None => return Heard::Closed(1006),
            }
        }
    }
}

/// An event stream and what of it was not yet read.
pub struct Stream(reqwest::Response, String);

impl Scene {
    pub async fn get(&self, ticket: &str, accept: &str) -> reqwest::Response {
        let address = format!("http://{}/v1/rooms/demo/channel", self.address);
        let request = reqwest::Client::new().get(address).bearer_auth(ticket).header("accept", accept);
        request.send().await.unwrap()
    }

    pub async fn stream(&self, number: Number) -> Stream {
        let answer = self.get(&self.ticket(number), "text/event-stream").await;
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        Stream(answer, String::new())
    }
}

impl Stream {
    /// The next event's message, `None` at the end; comments are skipped.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let data = event.strip_prefix("data:").map(|text| serde_json::from_str(text).unwrap());
                assert!(data.is_some() || event.starts_with(':'), "{event}");
                self.1 = rest.to_owned();
                if data.is_some() {
                    return data;
                }
            } else {
                let chunk =
                    tokio::time::timeout(SOON, self.0.chunk()).await.expect("nothing came").unwrap()?;
                self.1.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        }
    }

    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await.expect("the stream ended");
            if message["type"] == kind {
                return message;
            }
        }
    }
}
