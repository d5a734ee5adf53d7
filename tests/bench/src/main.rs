//! The measurements of `BENCHMARKS.md` that need the whole system: each a ratio to a named floor in the
//! same run, or a latency. Prints one JSON object; progress goes to standard error.

mod bare;
mod joins;
mod restart;
mod slots;
mod wrk;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

/// The same allocator as the product's, so that a ratio compares handlers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "bench [joins] [slots] [restart]   (all without a name; TURNLINE_BIN names a release binary)";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [bare, port] = words.as_slice()
        && bare == "bare"
    {
        return bare::serve(port.parse().context("the port of the bare handler")?).await;
    }
    let known = ["joins", "slots", "restart"];
    if let Some(unknown) = words.iter().find(|word| !known.contains(&word.as_str())) {
        bail!("there is no measurement {unknown:?}\n{USAGE}");
    }
    let mut report = Map::new();
    for name in known.into_iter().filter(|name| words.is_empty() || words.iter().any(|word| word == name)) {
        eprintln!("== {name}");
        let measured = match name {
            "joins" => joins::measure().await,
            "slots" => slots::measure().await,
            _ => restart::measure().await,
        };
        report.insert(name.to_owned(), measured.with_context(|| format!("{name} could not be measured"))?);
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    report.insert("machine".to_owned(), json!({ "cores": cores }));
    println!("{}", serde_json::to_string_pretty(&Value::Object(report))?);
    Ok(())
}
