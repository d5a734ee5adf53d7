//! One text a socket and tick, another one for each: what that costs by our server, by the floor, and by servers
//! as they are written first. All in one run, in turns, to the same listeners; a process of its own each time.

mod audience;
mod figure;
mod frameworks;
mod ours;
mod peers;
mod raw;
mod table;

pub use peers::serve;
pub use table::markdown;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use crowd::Handshake;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::figures::{median, number, rounded};
use crate::spent;
use audience::{Audience, Heard};
use ours::Ours;
use peers::Peer;

/// Sockets and rounds, unless these variables say others.
const SOCKETS: (&str, u32) = ("FAN_OUT_SOCKETS", 15_000);
const ROUNDS: (&str, u32) = ("FAN_OUT_ROUNDS", 3);
/// Leaves out all rows but the floor and those named here, with commas between.
const ONLY: &str = "FAN_OUT_ONLY";
/// Ticks that are counted in each round.
const TICKS: usize = 15;
/// Before memory is read, after everybody was told.
const QUIET: Duration = Duration::from_secs(3);
/// Files that this process and a server hold beside their sockets.
const OTHER_FILES: u32 = 400;

/// Whom a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Peer(Peer),
    Turnline,
}

/// The floor first: each round's ratios are to its own.
const ROWS: [Who; 6] = [
    Who::Peer(Peer::Raw),
    Who::Turnline,
    Who::Peer(Peer::TungsteniteSmall),
    Who::Peer(Peer::TungsteniteDefault),
    Who::Peer(Peer::Axum),
    Who::Peer(Peer::NodeWs),
];

/// One server in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    memory_bytes_a_socket: f64,
    cpu_us_a_push: f64,
    /// Processor time of a second with one socket: what the process costs whoever is there.
    idle_cores: f64,
    listeners_cpu_us_a_push: f64,
    told_p50_ms: f64,
    told_p99_ms: f64,
    told_max_ms: f64,
    pushes_a_second: f64,
    pushes_a_core_second: f64,
    /// Of all that could have been told: 1 when everybody heard of every tick.
    told_share: f64,
    bytes_a_push: f64,
}

pub async fn measure() -> anyhow::Result<Value> {
    let (sockets, rounds, rows) = (number(SOCKETS)?, number(ROUNDS)?, rows()?);
    let most = spent::open_files_max()?.saturating_sub(OTHER_FILES);
    ensure!(
        sockets <= most,
        "{sockets} sockets are more than one process may open here ({most}); set {} to at most that",
        SOCKETS.0
    );
    let without_node = tokio::task::block_in_place(peers::prepare_node).err();
    let ours = Ours::start(sockets).await?;
    let mut runs: Vec<Vec<Run>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (nth, (&who, runs)) in (0..).zip(rows.iter().zip(&mut runs)) {
            if who == Who::Peer(Peer::NodeWs) && without_node.is_some() {
                continue;
            }
            // Ports of the last round may not be free again yet.
            let from = IpAddr::from(Ipv4Addr::new(127, 0, 1 + (round % 250) as u8, 2 + nth));
            let run = run(who, &ours, sockets, from).await;
            let run = run.with_context(|| format!("{} in round {}", word(who), round + 1))?;
            eprintln!(
                "round {}: {}: {:.0} B a socket, {:.2} µs a push, told within {:.0}/{:.0}/{:.0} ms",
                round + 1,
                word(who),
                run.memory_bytes_a_socket,
                run.cpu_us_a_push,
                run.told_p50_ms,
                run.told_p99_ms,
                run.told_max_ms
            );
            runs.push(run);
        }
    }
    let floor = runs.first().cloned().unwrap_or_default();
    let rows: Vec<Value> = rows
        .iter()
        .zip(&runs)
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(who, runs)| row(*who, runs, &floor))
        .collect();
    Ok(json!({
        "how": format!("{sockets} sockets from one thread; {rounds} rounds in turns, each server a new process; {TICKS} ticks of a second counted a round; medians; the ratio is the median of the rounds' own"),
        "sockets": sockets, "rows": rows, "left_out": without_node.map(|why| json!({ "node-ws": why })),
    }))
}

fn rows() -> anyhow::Result<Vec<Who>> {
    let Ok(only) = std::env::var(ONLY) else { return Ok(ROWS.to_vec()) };
    let named: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = ROWS.into_iter().map(word).collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        bail!("{ONLY} names {unknown:?}, which is none of {known:?}");
    }
    let floor = Who::Peer(Peer::Raw);
    Ok(ROWS.into_iter().filter(|who| *who == floor || named.contains(&word(*who))).collect())
}

async fn run(who: Who, ours: &Ours, sockets: u32, from: IpAddr) -> anyhow::Result<Run> {
    match who {
        Who::Peer(peer) => {
            let (mut child, port) = peers::start(peer).await?;
            let pid = child.id().context("the peer has ended")?;
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let request = move |_| Handshake::new(&to.to_string(), "/", &[]);
            let run = on_a_thread(pid, sockets, (to, from), request).await;
            child.kill().await.context("the peer does not end")?;
            run
        }
        Who::Turnline => {
            let (channel, to) = ours.channel().await?;
            let run = on_a_thread(channel.pid(), sockets, (to, from), ours.request(to)).await;
            channel.kill_9().await;
            run
        }
    }
}

async fn on_a_thread(
    pid: u32,
    sockets: u32,
    way: (SocketAddr, IpAddr),
    request: impl Fn(u32) -> Handshake + Send + 'static,
) -> anyhow::Result<Run> {
    tokio::task::spawn_blocking(move || listen(pid, sockets, way, request)).await?
}

fn listen(
    pid: u32,
    sockets: u32,
    way: (SocketAddr, IpAddr),
    request: impl Fn(u32) -> Handshake,
) -> anyhow::Result<Run> {
    let mut audience = Audience::new(sockets)?;
    // What the first one needs, a room's state above all, is not of the others.
    audience.open(1, way, &request)?;
    let idle = spent::cpu(pid)?;
    audience.rest(QUIET)?;
    let idle = spent::cpu(pid)?.saturating_sub(idle);
    let before = spent::memory(pid)?;
    audience.open(sockets, way, &request)?;
    audience.rest(QUIET)?;
    let grown = spent::memory(pid)?.saturating_sub(before);
    let heard = audience.watch(TICKS, || Ok((spent::cpu(pid)?, spent::cpu(std::process::id())?)))?;
    let a_socket = grown as f64 / f64::from(sockets.saturating_sub(1).max(1));
    Ok(Run::of(&heard, a_socket, idle, sockets))
}

impl Run {
    fn of(heard: &Heard, memory_bytes_a_socket: f64, idle: Duration, sockets: u32) -> Self {
        let pushes = heard.pushes as f64;
        let us = |time: Duration| rounded(time.as_secs_f64() * 1e6 / pushes, 1e2);
        let told = |share: f64| {
            let last = heard.spread_us.len().saturating_sub(1);
            let at = (last as f64 * share).round() as usize;
            rounded(heard.spread_us.get(at).map_or(0.0, |us| f64::from(*us) / 1e3), 10.0)
        };
        let all = heard.ticks as f64 * f64::from(sockets);
        Self {
            memory_bytes_a_socket: memory_bytes_a_socket.round(),
            cpu_us_a_push: us(heard.cpu),
            idle_cores: rounded(idle.as_secs_f64() / QUIET.as_secs_f64(), 1e3),
            listeners_cpu_us_a_push: us(heard.own_cpu),
            told_p50_ms: told(0.5),
            told_p99_ms: told(0.99),
            told_max_ms: told(1.0),
            pushes_a_second: (pushes / heard.took.as_secs_f64()).round(),
            pushes_a_core_second: (pushes / heard.cpu.as_secs_f64()).round(),
            told_share: rounded(heard.spread_us.len() as f64 / all, 1e3),
            bytes_a_push: rounded(heard.bytes as f64 / pushes, 10.0),
        }
    }
}

fn row(who: Who, runs: &[Run], floor: &[Run]) -> Value {
    let middle = |figure: fn(&Run) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    let ratios: Vec<f64> =
        runs.iter().zip(floor).map(|(run, floor)| run.cpu_us_a_push / floor.cpu_us_a_push).collect();
    let medians = Run {
        memory_bytes_a_socket: middle(|run| run.memory_bytes_a_socket),
        cpu_us_a_push: middle(|run| run.cpu_us_a_push),
        idle_cores: middle(|run| run.idle_cores),
        listeners_cpu_us_a_push: middle(|run| run.listeners_cpu_us_a_push),
        told_p50_ms: middle(|run| run.told_p50_ms),
        told_p99_ms: middle(|run| run.told_p99_ms),
        told_max_ms: middle(|run| run.told_max_ms),
        pushes_a_second: middle(|run| run.pushes_a_second),
        pushes_a_core_second: middle(|run| run.pushes_a_core_second),
        told_share: middle(|run| run.told_share),
        bytes_a_push: middle(|run| run.bytes_a_push),
    };
    let each: Vec<f64> = ratios.iter().map(|ratio| rounded(*ratio, 1e2)).collect();
    json!({
        "server": word(who), "what": what(who), "ratio_to_raw": rounded(median(&ratios), 1e2),
        "medians": medians, "ratios": each, "rounds": runs,
    })
}

fn word(who: Who) -> &'static str {
    match who {
        Who::Peer(peer) => peer.word(),
        Who::Turnline => "turnline",
    }
}

fn what(who: Who) -> &'static str {
    match who {
        Who::Peer(peer) => peer.what(),
        Who::Turnline => "Turnline's client-channel, the whole real path",
    }
}
