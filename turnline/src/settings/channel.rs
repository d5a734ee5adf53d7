//! Settings of the visitors' channels.

use clap::Args;
use client_channel::ChannelConfig;
use serde::{Deserialize, Serialize};

/// Files open beside visitors' channels: databases, logs, calls of the API.
pub const FILES_BESIDE: u64 = 1_000;

#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct ChannelFlags {
    /// Open channels at most [default: what the open-files limit allows]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets_max: Option<usize>,
    /// Channels one address may hold open [default: no limit]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets_per_address: Option<u32>,
    /// Channels opened in a second at most; who comes beyond is told when to come again [default: 4000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    handshakes_per_second: Option<u32>,
    /// Position from which on visitors hear of every third change only; 0 for none [default: 10000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    far_from: Option<u64>,
    /// Figures told in a second at most, a core; beyond, all but the nearest hear more rarely [default: 100000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pushes_per_second: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sockets_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sockets_per_address: Option<u32>,
    pub handshakes_per_second: u32,
    pub far_from: u64,
    pub pushes_per_second: u64,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        let ChannelConfig { handshakes_per_second, far_from, pushes_per_second, .. } = ChannelConfig::new("");
        Self {
            sockets_max: None,
            sockets_per_address: None,
            handshakes_per_second,
            far_from,
            pushes_per_second,
        }
    }
}

impl ChannelSettings {
    /// For this node; `files` is how many the process may open.
    pub fn config(&self, node: &str, files: Option<u64>) -> ChannelConfig {
        let allowed =
            files.map(|files| usize::try_from(files.saturating_sub(FILES_BESIDE)).unwrap_or(usize::MAX));
        let mut config = ChannelConfig::new(node);
        config.sockets_max = self.sockets_max.or(allowed).unwrap_or(usize::MAX);
        config.sockets_per_address = self.sockets_per_address;
        config.handshakes_per_second = self.handshakes_per_second;
        config.far_from = self.far_from;
        config.pushes_per_second = self.pushes_per_second;
        config
    }
}
