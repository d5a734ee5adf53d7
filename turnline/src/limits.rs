//! What the operating system lets this process hold: raised where it may be, and told plainly where not.

use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::front::BACKLOG;
use crate::settings::FILES_BESIDE;

/// What a visitor's socket takes of the machine's memory, in bytes: 4.8 KB in the kernel, half a KB here.
const SOCKET_BYTES: u64 = 5_400;

/// Something a machine allows, or lacks.
pub struct Finding {
    pub good: bool,
    pub text: String,
}

/// Raises the soft limit of open files to the hard one; the limit in force then, absent when there is none.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    limit.current = hard;
    if setrlimit(Resource::Nofile, limit).is_ok() { hard } else { getrlimit(Resource::Nofile).current }
}

/// What bounds how many visitors a process here can serve.
pub fn of_serving(listen: SocketAddr) -> Vec<Finding> {
    let findings = [Some(open_files()), Some(backlog()), half_open(), port_of(listen), memory()];
    findings.into_iter().flatten().collect()
}

fn open_files() -> Finding {
    let Some(limit) = raise_open_files() else {
        return Finding { good: true, text: "open files: no limit".to_owned() };
    };
    let channels = limit.saturating_sub(FILES_BESIDE);
    Finding {
        good: limit >= 100_000,
        text: format!(
            "open files: {limit} a process (ulimit -Hn), so {channels} channels each; raise LimitNOFILE, or run \
             several `serve client-channel --reuse-port` on one address"
        ),
    }
}

fn backlog() -> Finding {
    let most = number_in("/proc/sys/net/core/somaxconn").unwrap_or(0);
    Finding {
        good: most >= 4_096,
        text: format!(
            "connections waiting to be taken: {most} (net.core.somaxconn; {BACKLOG} are asked for); a flash \
             crowd wants 4096 or more"
        ),
    }
}

fn half_open() -> Option<Finding> {
    let most = number_in("/proc/sys/net/ipv4/tcp_max_syn_backlog")?;
    let cookies = number_in("/proc/sys/net/ipv4/tcp_syncookies").unwrap_or(0) > 0;
    let text = format!(
        "connections half open: {most} (net.ipv4.tcp_max_syn_backlog), {} cookies beyond",
        if cookies { "with" } else { "without" }
    );
    Some(Finding { good: most >= 1_024 || cookies, text })
}

/// A port within the range that clients' own ports are taken from may be taken when we come to listen.
fn port_of(listen: SocketAddr) -> Option<Finding> {
    let (first, last) = local_ports()?;
    let port = u64::from(listen.port());
    if port == 0 {
        return None;
    }
    let inside = (first..=last).contains(&port);
    let reserved = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let kept = reserved.trim().split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        from.parse().is_ok_and(|from: u64| from <= port) && to.parse().is_ok_and(|to: u64| port <= to)
    });
    Some(Finding {
        good: !inside || kept,
        text: format!(
            "port {port}: {} the range of local ports {first} to {last} (net.ipv4.ip_local_port_range){}",
            if inside { "within" } else { "outside" },
            match (inside, kept) {
                (false, _) => "",
                (true, true) => ", and reserved",
                (true, false) =>
                    ": somebody's own port may be in the way; name it in ip_local_reserved_ports",
            }
        ),
    })
}

fn memory() -> Option<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let bytes = line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1_024;
    let sockets = bytes / SOCKET_BYTES;
    let text = format!("memory: {} MiB available, room for about {sockets} channels", bytes >> 20);
    Some(Finding { good: sockets >= 100_000, text })
}

/// The first and the last of the ports that clients get.
pub fn local_ports() -> Option<(u64, u64)> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
    ends.next().zip(ends.next())
}

fn number_in(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
