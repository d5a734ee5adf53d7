//! The floor: an axum handler that reads a join's body and answers one of the same size, and does nothing else.

use anyhow::Context;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    lane: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    ticket: &'static str,
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

pub async fn serve(port: u16) -> anyhow::Result<()> {
    let app = Router::new().route("/v1/rooms/{room}/tickets", post(answer));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.context("the bare handler cannot listen")?;
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await.context("the bare handler ended")
}

async fn answer(Json(body): Json<Body>) -> (StatusCode, Json<Answer>) {
    let waiting = 1_000_000 + body.lane.map_or(0, |lane| lane.len() as u64);
    let answer = Answer {
        ticket: "AAAAAAAAAAE.myiLCVaK1MpriE6tg1cNEw",
        state: "waiting",
        number: waiting,
        position: waiting,
        ahead: waiting - 1,
        waiting,
        eta_seconds: 300,
        eta_low_seconds: 90,
        eta_high_seconds: 1200,
        poll_after_seconds: 5,
    };
    (StatusCode::CREATED, Json(answer))
}
