//! What a process has cost so far, as Linux counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// `/proc/PID/stat` counts in hundredths of a second on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time, of all threads, since the process began.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = read(pid, "stat")?;
    // The name in parentheses may hold anything; behind it come the fields from the third on.
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<u32> {
        let field = fields.get(at - 3).with_context(|| format!("no field {at} in /proc/{pid}/stat"))?;
        Ok(field.parse()?)
    };
    Ok(TICK * (ticks(14)? + ticks(15)?))
}

/// Bytes of memory that the process alone holds: anonymous pages, without its program and shared libraries.
pub fn memory(pid: u32) -> anyhow::Result<u64> {
    let rollup = read(pid, "smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kib =
        line.and_then(|line| line.trim().strip_suffix("kB")).context("smaps_rollup has no Anonymous")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

/// How many files and sockets this process may have open.
pub fn open_files_max() -> anyhow::Result<u32> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).context("no limit of open files")?;
    Ok(soft.parse().unwrap_or(u32::MAX))
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("{path} cannot be read; has the process ended?"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_and_memory_are_seen() {
        let own = std::process::id();
        let (cpu_before, memory_before) = (cpu(own).unwrap(), memory(own).unwrap());
        let held: Vec<u64> = (0..4 << 20).collect();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(held.iter().sum::<u64>());
        }
        assert!(cpu(own).unwrap() - cpu_before >= Duration::from_millis(20));
        let grown = memory(own).unwrap() - memory_before;
        assert!((32 << 20..40 << 20).contains(&grown), "{grown}");
        assert!(open_files_max().unwrap() > 64);
    }
}
