//! `turnline doctor`: what this machine allows or lacks, in plain words.

use std::path::Path;
use std::process::ExitCode;

use crate::limits::raise_open_files;

/// Files open beside visitors' sockets: databases, logs, calls of the API.
const BESIDE: u64 = 1_000;

struct Finding {
    good: bool,
    text: String,
}

pub fn run() -> anyhow::Result<ExitCode> {
    let findings = [open_files(), backlog(), ports(), data_directory(Path::new("turnline-data"))];
    for Finding { good, text } in &findings {
        println!("{} {text}", if *good { "ok  " } else { "low " });
    }
    Ok(ExitCode::SUCCESS)
}

fn open_files() -> Finding {
    match raise_open_files() {
        None => Finding { good: true, text: "open files: no limit".to_owned() },
        Some(limit) => Finding {
            good: limit >= 100_000,
            text: format!(
                "open files: {limit} a process (ulimit -Hn), so about {} visitors' channels; raise LimitNOFILE for more",
                limit.saturating_sub(BESIDE)
            ),
        },
    }
}

fn backlog() -> Finding {
    let most = read_number("/proc/sys/net/core/somaxconn").unwrap_or(0);
    Finding {
        good: most >= 4_096,
        text: format!(
            "connections waiting to be taken: {most} (net.core.somaxconn); a flash crowd wants 4096 or more"
        ),
    }
}

fn ports() -> Finding {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
    let count = ends.next().zip(ends.next()).map_or(0, |(first, last)| last.saturating_sub(first));
    Finding {
        good: count >= 20_000,
        text: format!(
            "local ports: {count} an address (net.ipv4.ip_local_port_range); they bound `simulate`, not the server"
        ),
    }
}

fn data_directory(path: &Path) -> Finding {
    let place = if path.exists() { path } else { Path::new(".") };
    match tempfile::tempfile_in(place) {
        Ok(_) => Finding { good: true, text: format!("data directory {} can be written", path.display()) },
        Err(error) => Finding {
            good: false,
            text: format!("data directory {} cannot be written: {error}", path.display()),
        },
    }
}

fn read_number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
