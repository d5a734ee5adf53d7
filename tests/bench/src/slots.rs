//! From a payment's answer to the next visitor's `admitted`, as simulated visitors see it: one slot, so
//! that every payment calls exactly the next.

use serde_json::{Value, json};
use turnline_tests::{Cluster, Crowd, Server, Site};

use crate::servers::Servers;

const VISITORS: u64 = 400;

/// One process, embedded.
pub async fn measure() -> anyhow::Result<Value> {
    let server = Server::start(&demo(&[])).await;
    Ok(sale(&server, "demo", "one process, embedded").await)
}

/// The same through Redis, Kafka and PostgreSQL: one process, and two of each service behind nginx. The floor is
/// the embedded one, a moment before.
pub async fn on_servers() -> anyhow::Result<Value> {
    let floor = measure().await?;
    let one = {
        let servers = Servers::start()?;
        let flags = servers.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Server::start(&demo(&flags)).await;
        sale(&server, "demo", "one process, on servers").await
    };
    let ten = {
        let cluster = Cluster::start_on_own_servers().await;
        cluster.room("sale", &json!({ "capacity": 1 })).await;
        cluster.concert("sale", VISITORS).await;
        sale(&cluster, "sale", "ten processes behind nginx, on servers").await
    };
    let ratio = |on: &Value| Some((p50(on)? / p50(&floor)? * 10.0).round() / 10.0);
    Ok(json!({
        "ratio_one_process": ratio(&one), "ratio_ten_processes": ratio(&ten),
        "embedded": floor, "one_process": one, "ten_processes": ten,
    }))
}

async fn sale(site: &Site, room: &str, on: &str) -> Value {
    let verdict = Crowd::send(site, room, VISITORS, &["--buy"]).ends_well().await;
    let latencies = &verdict.report["latencies"];
    let sale = json!({ "how": format!("simulate: {VISITORS} visitors who buy, capacity 1, {on}"), "latencies": latencies });
    eprintln!("{on}: {}", freed(&sale).unwrap_or(&Value::Null));
    sale
}

/// From a payment's answer to the `admitted` that took the slot.
fn freed(sale: &Value) -> Option<&Value> {
    sale["latencies"].as_array()?.iter().find(|latency| latency["name"] == "release_to_admitted")
}

fn p50(sale: &Value) -> Option<f64> {
    freed(sale)?["p50_ms"].as_f64()
}

fn demo<'a>(more: &[&'a str]) -> Vec<&'a str> {
    const SEATS: &str = "400";
    [&["--demo", "--demo-capacity", "1", "--demo-seats", SEATS], more].concat()
}
