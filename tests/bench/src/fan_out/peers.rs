//! The servers that ours is held against: each a process of its own, mostly this very program under another word.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use xtask::machine::{self, NODE, NPM};
use xtask::run;

use super::{frameworks, raw};

/// How often every server here tells every socket.
pub const TICK: Duration = Duration::from_secs(1);
/// How long one may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Raw,
    Axum,
    TungsteniteSmall,
    TungsteniteDefault,
    NodeWs,
}

impl Peer {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Axum => "axum",
            Self::TungsteniteSmall => "tungstenite-small",
            Self::TungsteniteDefault => "tungstenite-default",
            Self::NodeWs => "node-ws",
        }
    }

    pub const fn what(self) -> &'static str {
        match self {
            Self::Raw => "raw epoll, one `write` a push (the floor)",
            Self::Axum => "axum `WebSocketUpgrade`, its defaults, task + channel a socket",
            Self::TungsteniteSmall => "tokio-tungstenite, 512-byte buffers, task + channel a socket",
            Self::TungsteniteDefault => "tokio-tungstenite, default buffers, task + channel a socket",
            Self::NodeWs => "node `ws`",
        }
    }
}

/// What `bench fan-out-peer WORD PORT` does, until it is killed.
pub fn serve(word: &str, port: u16) -> anyhow::Result<()> {
    // Whatever is not measured is not there: the floor has no runtime.
    if word == Peer::Raw.word() {
        return raw::serve(port);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match word {
        "axum" => runtime.block_on(frameworks::axum(port)),
        "tungstenite-small" => runtime.block_on(frameworks::tungstenite(port, true)),
        "tungstenite-default" => runtime.block_on(frameworks::tungstenite(port, false)),
        unknown => bail!("there is no peer {unknown:?}"),
    }
}

/// Starts one on a free port and waits until it listens.
pub async fn start(peer: Peer) -> anyhow::Result<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = match peer {
        Peer::NodeWs => {
            let mut node = Command::new(machine::program(&NODE).context("node is missing")?);
            node.arg(folder().join("ws.mjs"));
            node
        }
        Peer::Raw | Peer::Axum | Peer::TungsteniteSmall | Peer::TungsteniteDefault => {
            let mut own = Command::new(std::env::current_exe()?);
            own.args(["fan-out-peer", peer.word()]);
            own
        }
    };
    let mut child = command.arg(port.to_string()).stdin(Stdio::null()).kill_on_drop(true).spawn()?;
    let began = std::time::Instant::now();
    while began.elapsed() < START_DEADLINE {
        if let Some(status) = child.try_wait()? {
            bail!("the peer {} ended at once ({status})", peer.word());
        }
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok((child, port));
        }
        // sleep: the interval of a poll under a deadline
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bail!("the peer {} did not come up on port {port}", peer.word())
}

/// Puts node's peer and the package it needs below `target`; says why not, where that cannot be.
pub fn prepare_node() -> Result<(), String> {
    let (Some(_), Some(npm)) = (machine::program(&NODE), machine::program(&NPM)) else {
        return Err("node or npm is missing: apt-get install nodejs npm".to_owned());
    };
    let install = || -> anyhow::Result<()> {
        let (from, to) = (run::root().join("tests/bench/peers"), folder());
        fs::create_dir_all(&to)?;
        for file in ["package.json", "package-lock.json", "ws.mjs"] {
            fs::copy(from.join(file), to.join(file))?;
        }
        let mut command = std::process::Command::new(npm);
        run::aside(command.args(["ci", "--no-audit", "--no-fund"]).current_dir(&to))
    };
    install().map_err(|why| format!("the package `ws` could not be installed: {why:#}"))
}

fn folder() -> PathBuf {
    run::target().join("bench-peers")
}
