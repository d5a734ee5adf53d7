//! Samples the room's public state and the memory of both sides while the visitors run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::http::Call;
use super::message::RoomState;
use super::rules::RoomSample;
use super::world::World;

const EVERY: Duration = Duration::from_millis(250);
/// The metrics page is read once in so many samples.
const METRICS_EACH: u32 = 4;

/// Largest memory seen, in bytes; 0 where it could not be read.
#[derive(Default)]
pub struct Memory {
    pub server_most: AtomicU64,
}

/// Samples until told to stop; a system that is away is simply not sampled.
pub async fn watch(world: Arc<World>, memory: Arc<Memory>, stop: CancellationToken) {
    let near = is_loopback(&world.api.base);
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0u32.. {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.cancelled() => return,
        }
        sample(&world).await;
        if near && round % METRICS_EACH == 0 {
            read_metrics(&world, &memory).await;
        }
    }
}

/// One reading of the room, judged and remembered.
pub async fn sample(world: &World) -> Option<RoomSample> {
    let answer = world.api.once(&Call::get(world.api.room_path(""))).await.ok()?;
    let state: RoomState = answer.read().ok()?;
    let sample = as_sample(&state);
    world.watch().see(sample, world.now(), &mut world.tally());
    Some(sample)
}

pub fn as_sample(state: &RoomState) -> RoomSample {
    RoomSample {
        active: state.active,
        waiting: state.waiting,
        capacity: state.capacity,
        open: state.state == "open",
    }
}

/// The most memory this process ever had, in bytes, where the machine tells.
pub fn own_memory() -> Option<u64> {
    own_status("VmHWM:")
}

/// The memory this process has made its own by now, in bytes, where the machine tells; without the binary's pages.
pub fn memory_now() -> Option<u64> {
    own_status("RssAnon:")
}

fn own_status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

async fn read_metrics(world: &World, memory: &Memory) {
    if let Ok(answer) = world.api.once(&Call::get("/metrics")).await
        && let Some(bytes) = answer.text().and_then(resident_memory)
    {
        memory.server_most.fetch_max(bytes, Ordering::Relaxed);
    }
}

fn resident_memory(page: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.starts_with("process_resident_memory_bytes"))?;
    line.split_whitespace().last()?.parse::<f64>().ok().map(|bytes| bytes as u64)
}

fn is_loopback(base: &reqwest::Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_metrics_page() {
        let page = "# HELP process_resident_memory_bytes x\nother 1\nprocess_resident_memory_bytes 1.5e6\n";
        assert_eq!(resident_memory(page), Some(1_500_000));
        assert_eq!(resident_memory("process_resident_memory_bytes{role=\"up\"} 42\n"), Some(42));
        assert_eq!(resident_memory("nothing 1\n"), None);
    }

    #[test]
    fn only_this_machine_is_asked_for_metrics() {
        let near = |url: &str| is_loopback(&reqwest::Url::parse(url).unwrap());
        assert!(near("http://127.0.0.1:80") && near("http://[::1]:80") && near("http://localhost:80"));
        assert!(!near("http://192.0.2.1") && !near("http://queue.example"));
    }
}
