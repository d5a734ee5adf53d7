//! wrk (Debian's package) as the load generator: light, and nobody's of ours.

use std::process::Command;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::figures;

/// Connections held open at once.
pub const CONNECTIONS: u32 = 256;
/// Seconds a run takes.
pub const SECONDS: u32 = 6;

#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub requests_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

const REPORT: &str = r#"
done = function(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
  io.write(string.format("REPORT %f %f %f %d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"#;

const JOINS: &str = r#"
local base = { ["Content-Type"] = "application/json" }
local keyed = KEYED
local seed = SEED
local count = 0
request = function()
  if keyed then
    count = count + 1
    base["Idempotency-Key"] = string.format("bench-%d-%s-%012d", seed, tostring(base):sub(-8), count)
  end
  return wrk.format("POST", nil, base, "{}")
end
"#;

const GETS: &str = r#"
local paths = { PATHS }
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
"#;

const POLLS: &str = r#"
local tickets = { TICKETS }
local requests = {}
local at = 0
init = function()
  for i, ticket in ipairs(tickets) do
    requests[i] = wrk.format("GET", PATH, { ["Authorization"] = "Bearer " .. ticket })
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"#;

/// Posts joins as fast as they are answered; each under a key of its own when `keyed`.
pub async fn joins(url: String, keyed: bool, seed: u64) -> anyhow::Result<Run> {
    let script = JOINS.replace("KEYED", &keyed.to_string()).replace("SEED", &seed.to_string());
    tokio::task::spawn_blocking(move || run(&url, &script)).await?
}

/// Gets these paths in turns as fast as they are answered.
pub async fn gets(url: String, paths: &[String]) -> anyhow::Result<Run> {
    let paths: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
    let script = GETS.replace("PATHS", &paths.join(", "));
    tokio::task::spawn_blocking(move || run(&url, &script)).await?
}

/// Gets `path` with these tickets in turns as fast as they are answered.
pub async fn polls(url: String, path: &str, tickets: &[String]) -> anyhow::Result<Run> {
    let tickets: Vec<String> = tickets.iter().map(|ticket| format!("{ticket:?}")).collect();
    let script = POLLS.replace("TICKETS", &tickets.join(", ")).replace("PATH", &format!("{path:?}"));
    tokio::task::spawn_blocking(move || run(&url, &script)).await?
}

/// The run in the middle of all, by its rate.
pub fn middle(runs: &[Run]) -> Option<Run> {
    figures::middle(runs, |run| run.requests_per_second)
}

fn run(url: &str, script_of: &str) -> anyhow::Result<Run> {
    let script = tempfile::Builder::new().suffix(".lua").tempfile()?;
    std::fs::write(script.path(), format!("{script_of}{REPORT}"))?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "-s"])
        .arg(script.path())
        .arg(url)
        .output()
        .context("wrk is missing: apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("REPORT "));
    let Some(line) = line else {
        bail!("wrk said no figures:\n{text}{}", String::from_utf8_lossy(&output.stderr))
    };
    let figures: Vec<f64> = line.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [requests_per_second, p50_ms, p99_ms, bad] = figures[..] else {
        bail!("wrk's figures are odd: {line}")
    };
    if bad > 0.0 {
        bail!("{bad} requests failed at {url}; a rate with failures says nothing");
    }
    Ok(Run { requests_per_second, p50_ms, p99_ms })
}
