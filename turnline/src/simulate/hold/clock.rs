//! One clock for all processes of a run: the machine's monotonic one, in microseconds.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds on the machine's monotonic clock; the same in every process.
pub type Micros = u64;

pub const SECOND: Micros = 1_000_000;

pub fn now() -> Micros {
    read(ClockId::Monotonic)
}

/// Processor time this process has taken so far, on all its threads.
pub fn processor_time() -> Micros {
    read(ClockId::ProcessCPUTime)
}

pub fn seconds(micros: Micros) -> f64 {
    micros as f64 / SECOND as f64
}

fn read(clock: ClockId) -> Micros {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * SECOND + u64::try_from(time.tv_nsec).unwrap_or_default() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_work_takes_processor_time() {
        let (began, busy) = (now(), processor_time());
        let mut sum = 0u64;
        while processor_time() - busy < 2_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(now() > began && sum > 0);
    }
}
