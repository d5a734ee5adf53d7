//! `turnline simulate --hold`: visitors who only join, open their channel and wait; as many as the machine
//! holds, on as many processes as that takes.

mod asking;
mod checks;
mod clock;
mod conduct;
mod driver;
mod ear;
mod line;
mod measured;
mod page;
mod pauses;
mod plan;
mod polls;
mod protocol;
mod report;
mod roll;
mod show;
mod trickle;
mod verdict;
mod wire;
mod words;
mod worker;
mod workers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::args::SimulateArgs;
use super::chance::random_seed;
use super::http::Api;
use protocol::Channels;
pub use worker::work;

/// Runs the visitors and prints the report.
///
/// Answers 0 when no rule was broken and everybody was in place, 1 when not, 2 when the run could not begin.
///
/// # Errors
/// When the report cannot be written, a worker process fails, or this machine lacks what a client needs.
pub async fn run(args: SimulateArgs, hold: Duration) -> anyhow::Result<ExitCode> {
    let (api, channels) = match prepare(&args).await? {
        Ok(prepared) => prepared,
        Err(refusal) => {
            eprintln!("simulate: {refusal}");
            return Ok(ExitCode::from(2));
        }
    };
    let seed = args.seed.map_or_else(random_seed, Ok)?;
    let crowd = plan::Crowd {
        visitors: args.visitors,
        seed,
        run: std::process::id(),
        arrivals: args.arrivals,
        channels,
        polling: args.poll,
        poll_every: args.poll_every.map(|seconds| seconds * clock::SECOND),
    };
    let shares = plan::shares(&crowd, visitors_a_process(&args));
    let run = conduct::conduct(&args, Arc::new(api), &shares, hold).await?;
    let channels = crowd.channels.iter().map(|channels| channels.host.clone()).collect();
    let report = verdict::report(&args, seed, channels, run);
    print!("{}", report.text());
    if let Some(path) = &args.report {
        report.write(path)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that can be refused before the first visitor comes; the inner error is in plain words.
async fn prepare(args: &SimulateArgs) -> anyhow::Result<Result<(Api, Vec<Channels>), String>> {
    let base = match args.base() {
        Ok(base) => base,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let api = Api::new(base.clone(), args.room.clone(), args.outage())?;
    if let Err(refusal) = super::first_contact(&api, &args.url).await {
        return Ok(Err(refusal));
    }
    let mut urls = Vec::new();
    for url in &args.channels {
        match super::args::address(url, "--channels") {
            Ok(url) => urls.push(url),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    if urls.is_empty() {
        urls.push(base);
    }
    let mut channels = Vec::new();
    for url in urls {
        match resolve(&url, &api.room_path(if args.poll { "/tickets/me" } else { "/channel" })).await {
            Ok(found) => channels.push(found),
            Err(why) => return Ok(Err(format!("{url}: {why}"))),
        }
    }
    Ok(Ok((api, channels)))
}

async fn resolve(url: &reqwest::Url, path: &str) -> Result<Channels, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = tokio::net::lookup_host((bare, port)).await.map_err(|why| why.to_string())?;
    let address = found.next().ok_or("no address is known for it")?;
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    Ok(Channels { address, host: format!("{host}:{port}"), path })
}

/// Who asks holds no socket, so only the thread's time bounds how many one process takes.
fn visitors_a_process(args: &SimulateArgs) -> u32 {
    let files = crate::limits::raise_open_files().filter(|_| !args.poll);
    let most = plan::sockets_a_process(files);
    args.visitors_a_process.unwrap_or(most).clamp(1, most)
}
