//! The floor: axum handlers that answer what a join and a poll are answered, one of the same size, and do nothing
//! else; in a process of their own.

use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    lane: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'static str>,
    state: &'static str,
    number: u64,
    position: u64,
    ahead: u64,
    waiting: u64,
    eta_seconds: u64,
    eta_low_seconds: u64,
    eta_high_seconds: u64,
    poll_after_seconds: u64,
}

/// Starts them; the process, and `http://HOST:PORT`.
pub async fn start() -> anyhow::Result<(Child, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new(std::env::current_exe()?)
        .args(["bare", &port.to_string()])
        .kill_on_drop(true)
        .spawn()?;
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok((child, format!("http://127.0.0.1:{port}")));
        }
        // sleep: the interval of a poll under a deadline
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bail!("the bare handler did not come up on port {port}")
}

pub async fn serve(port: u16) -> anyhow::Result<()> {
    let app = Router::new()
        .route("/v1/rooms/{room}/tickets", post(joined))
        .route("/v1/rooms/{room}/tickets/me", get(async || Json(answer(100_000, None))));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.context("the bare handler cannot listen")?;
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await.context("the bare handler ended")
}

async fn joined(Json(body): Json<Body>) -> (StatusCode, Json<Answer>) {
    let waiting = 1_000_000 + body.lane.map_or(0, |lane| lane.len() as u64);
    (StatusCode::CREATED, Json(answer(waiting, Some("AAAAAAAAAAE.myiLCVaK1MpriE6tg1cNEw"))))
}

fn answer(waiting: u64, ticket: Option<&'static str>) -> Answer {
    Answer {
        ticket,
        state: "waiting",
        number: waiting,
        position: waiting,
        ahead: waiting - 1,
        waiting,
        eta_seconds: 300,
        eta_low_seconds: 90,
        eta_high_seconds: 1200,
        poll_after_seconds: 5,
    }
}
