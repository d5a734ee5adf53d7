//! The measurements of `BENCHMARKS.md` that need the whole system, or servers: each a ratio to a named floor in
//! the same run, a count, or a latency. Prints one JSON object; progress goes to standard error.

mod bare;
mod channel_load;
mod fan_out;
mod figures;
mod hundred_thousand;
mod joins;
mod poll_or_push;
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
mod spent;
mod stage;
mod wire;
mod wrk;

use std::path::PathBuf;

use anyhow::{Context, bail};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;

/// The same allocator as the product's, so that a ratio compares handlers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEASUREMENTS: [&str; 14] = [
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
    "fan-out",
    "hundred-thousand",
    "channel-load",
    "poll-or-push",
];

fn main() -> anyhow::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if let [called, peer, port] = words.as_slice()
        && called == "fan-out-peer"
    {
        return fan_out::serve(peer, port.parse().context("the port of a peer")?);
    }
    let markdown = markdown_file(&mut words)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(words, markdown))
}

async fn measure(words: Vec<String>, markdown: Option<PathBuf>) -> anyhow::Result<()> {
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
    let (mut report, mut tables) = (Map::new(), String::new());
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
            "fan-out" => fan_out::measure().await,
            "hundred-thousand" => hundred_thousand::measure().await,
            "channel-load" => channel_load::measure().await,
            "poll-or-push" => poll_or_push::measure().await,
            _ => slots::on_servers().await,
        };
        let measured = measured.with_context(|| format!("{name} could not be measured"))?;
        if let Some(table) = table(name, &measured) {
            tables.push_str(&format!("## {name}\n\n{table}\n"));
        }
        report.insert(name.to_owned(), measured);
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    report.insert("machine".to_owned(), json!({ "cores": cores }));
    println!("{}", serde_json::to_string_pretty(&Value::Object(report))?);
    match markdown {
        Some(file) => {
            std::fs::write(&file, tables).with_context(|| format!("{} cannot be written", file.display()))?
        }
        None => eprint!("{tables}"),
    }
    Ok(())
}

/// Of those measurements that are tables: one for a text to take over.
fn table(name: &str, measured: &Value) -> Option<String> {
    match name {
        "fan-out" => Some(fan_out::markdown(measured)),
        "hundred-thousand" => Some(hundred_thousand::markdown(measured)),
        "channel-load" => Some(channel_load::markdown(measured)),
        "poll-or-push" => Some(poll_or_push::markdown(measured)),
        _ => None,
    }
}

/// Takes `--markdown FILE` out of the words.
fn markdown_file(words: &mut Vec<String>) -> anyhow::Result<Option<PathBuf>> {
    let Some(at) = words.iter().position(|word| word == "--markdown") else { return Ok(None) };
    anyhow::ensure!(at + 1 < words.len(), "--markdown needs a file to write to\n{}", usage());
    let file = words.drain(at..at + 2).next_back();
    Ok(file.map(PathBuf::from))
}

fn usage() -> String {
    let names = MEASUREMENTS.map(|name| format!("[{name}]")).join(" ");
    format!("bench {names} [--markdown FILE]   (all without a name; TURNLINE_BIN names a release binary)")
}
