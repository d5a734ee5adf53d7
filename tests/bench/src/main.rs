//! The measurements of `BENCHMARKS.md` that need the whole system, or servers: each a ratio to a named floor in
//! the same run, a count, or a latency. Prints one JSON object; progress goes to standard error.

mod bare;
mod figures;
mod joins;
mod polls;
mod redis_joins;
mod redis_memory;
mod redis_tick;
mod restart;
mod rooms;
mod servers;
mod shop;
mod shop_reads;
mod slots;
mod wrk;

use anyhow::{Context, bail};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;

/// The same allocator as the product's, so that a ratio compares handlers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEASUREMENTS: [&str; 10] = [
    "joins",
    "polls",
    "slots",
    "restart",
    "shop",
    "shop-reads",
    "redis-joins",
    "redis-memory",
    "redis-tick",
    "kafka-slots",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [bare, port] = words.as_slice()
        && bare == "bare"
    {
        return bare::serve(port.parse().context("the port of the bare handler")?).await;
    }
    if let Some(unknown) = words.iter().find(|word| !MEASUREMENTS.contains(&word.as_str())) {
        bail!("there is no measurement {unknown:?}\n{}", usage());
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let figures = PrometheusBuilder::new().install_recorder().context("our figures cannot be counted")?;
    let mut report = Map::new();
    let wanted = |name: &&str| words.is_empty() || words.iter().any(|word| word == name);
    for name in MEASUREMENTS.into_iter().filter(wanted) {
        eprintln!("== {name}");
        let measured = match name {
            "joins" => joins::measure().await,
            "polls" => polls::measure().await,
            "slots" => slots::measure().await,
            "restart" => restart::measure().await,
            "shop" => shop::measure().await,
            "shop-reads" => shop_reads::measure().await,
            "redis-joins" => redis_joins::measure(&figures).await,
            "redis-memory" => redis_memory::measure().await,
            "redis-tick" => redis_tick::measure().await,
            _ => slots::on_servers().await,
        };
        report.insert(name.to_owned(), measured.with_context(|| format!("{name} could not be measured"))?);
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    report.insert("machine".to_owned(), json!({ "cores": cores }));
    println!("{}", serde_json::to_string_pretty(&Value::Object(report))?);
    Ok(())
}

fn usage() -> String {
    let names = MEASUREMENTS.map(|name| format!("[{name}]")).join(" ");
    format!("bench {names}   (all without a name; TURNLINE_BIN names a release binary)")
}
