//! Joins a second over HTTP against the bare handler, in turns, on the same machine in the same run.

use anyhow::Context;
use serde_json::{Value, json};
use turnline_tests::Server;

use crate::wrk::{self, CONNECTIONS, Run, SECONDS};
use crate::{bare, figures};

const ROUNDS: u64 = 5;

pub async fn measure() -> anyhow::Result<Value> {
    let (mut bare, bare_url) = bare::start().await?;
    let bare_url = format!("{bare_url}/v1/rooms/demo/tickets");
    let server = Server::start(&["--demo"]).await;
    let url = format!("http://{}/v1/rooms/demo/tickets", server.address());
    let (mut floor, mut plain, mut keyed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        floor.push(wrk::joins(bare_url.clone(), false, round).await?);
        plain.push(wrk::joins(url.clone(), false, round).await?);
        keyed.push(wrk::joins(url.clone(), true, round).await?);
        eprintln!(
            "round {}: bare {:.0}/s, joins {:.0}/s, joins with a key {:.0}/s",
            round + 1,
            floor[floor.len() - 1].requests_per_second,
            plain[plain.len() - 1].requests_per_second,
            keyed[keyed.len() - 1].requests_per_second
        );
    }
    bare.kill().await.context("the bare handler does not end")?;
    Ok(json!({
        "how": format!("wrk, 1 thread, {CONNECTIONS} connections, {SECONDS} s a run, {ROUNDS} rounds in turns, medians"),
        "bare_axum": wrk::middle(&floor),
        "join": wrk::middle(&plain),
        "join_with_idempotency_key": wrk::middle(&keyed),
        "ratio_join": ratio(&plain, &floor),
        "ratio_join_with_idempotency_key": ratio(&keyed, &floor),
        "rounds": { "bare_axum": floor, "join": plain, "join_with_idempotency_key": keyed },
    }))
}

fn ratio(runs: &[Run], floors: &[Run]) -> f64 {
    let rates = |runs: &[Run]| runs.iter().map(|run| run.requests_per_second).collect::<Vec<_>>();
    figures::ratio(&rates(runs), &rates(floors))
}
