//! Servers as one writes them first: a task and a channel a socket, by axum and by tokio-tungstenite.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::extract::ws::{Message as AxumMessage, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::figure::Figure;
use super::peers::TICK;

/// Who is there, each by the end of a channel.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<Vec<UnboundedSender<String>>>>);

/// `WebSocketUpgrade` with its default settings.
pub async fn axum(port: u16) -> anyhow::Result<()> {
    let board = Board::default();
    tokio::spawn(board.clone().tell_all());
    let app = Router::new().fallback(any(upgrade)).with_state(board);
    let listener = listener(port).await?.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await.context("the axum peer ended")
}

/// With buffers as small as they go, or with the default ones.
pub async fn tungstenite(port: u16, small: bool) -> anyhow::Result<()> {
    let board = Board::default();
    tokio::spawn(board.clone().tell_all());
    let config = small.then(|| WebSocketConfig::default().read_buffer_size(512).write_buffer_size(0));
    let listener = listener(port).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(hold(stream, config, board.clone()));
    }
}

impl Board {
    fn join(&self) -> UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    async fn tell_all(self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for ticks in 0.. {
            tick.tick().await;
            let senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = senders.len() as u64;
            for (nth, sender) in (0..).zip(senders.iter()) {
                // Whoever is gone is gone.
                let _ = sender.send(Figure::of(nth, ticks, count).text());
            }
        }
    }
}

async fn listener(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("the peer cannot listen")
}

async fn upgrade(State(board): State<Board>, upgrade: WebSocketUpgrade, _request: Request) -> Response {
    upgrade.on_upgrade(move |socket| hold_axum(socket, board.join()))
}

async fn hold_axum(mut socket: WebSocket, mut told: UnboundedReceiver<String>) {
    loop {
        tokio::select! {
            text = told.recv() => {
                let Some(text) = text else { return };
                if socket.send(AxumMessage::Text(text.into())).await.is_err() {
                    return;
                }
            }
            heard = socket.recv() => if !matches!(heard, Some(Ok(_))) { return },
        }
    }
}

async fn hold(stream: TcpStream, config: Option<WebSocketConfig>, board: Board) {
    let Ok(mut socket) = tokio_tungstenite::accept_async_with_config(stream, config).await else { return };
    let mut told = board.join();
    loop {
        tokio::select! {
            text = told.recv() => {
                let Some(text) = text else { return };
                if socket.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            heard = socket.next() => if !matches!(heard, Some(Ok(_))) { return },
        }
    }
}
