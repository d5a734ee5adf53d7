//! From a payment's answer to the next visitor's `admitted`, as simulated visitors see it: one slot, so
//! that every payment calls exactly the next.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::process::Command;
use turnline_tests::{Server, binary};

const VISITORS: u32 = 400;

pub async fn measure() -> anyhow::Result<Value> {
    let seats = VISITORS.to_string();
    let server = Server::start(&["--demo", "--demo-capacity", "1", "--demo-seats", &seats]).await;
    let report = tempfile::Builder::new().suffix(".json").tempfile()?;
    let output = Command::new(binary::turnline())
        .args(["simulate", "--url", &format!("http://{}", server.address()), "--room", "demo", "--buy"])
        .args(["--visitors", &seats, "--report"])
        .arg(report.path())
        .output()
        .await
        .context("simulate cannot be run")?;
    if !output.status.success() {
        bail!("simulate found a fault:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    let found: Value = serde_json::from_slice(&std::fs::read(report.path())?)?;
    Ok(json!({
        "how": format!("simulate: {VISITORS} visitors who buy, capacity 1, one process, embedded"),
        "latencies": found["latencies"],
    }))
}
