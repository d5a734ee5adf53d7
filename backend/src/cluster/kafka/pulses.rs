//! Which consumers are busy with what they took, and since when: one that never comes back for more is stuck.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct Pulses {
    ids: AtomicU64,
    busy: Mutex<HashMap<u64, (String, Instant)>>,
}

impl Pulses {
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// It asks for more, or ends.
    pub fn taking(&self, id: u64) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// It goes to work on what it took.
    pub fn working(&self, id: u64, group: &str) {
        let since = (group.to_owned(), Instant::now());
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id, since);
    }

    /// A group whose consumer has been busy for longer than `limit`.
    pub fn stuck(&self, limit: Duration) -> Option<String> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.values().find(|(_, since)| since.elapsed() > limit).map(|(group, _)| group.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_busy_for_too_long_is_stuck() {
        let pulses = Pulses::default();
        let (busy, idle) = (pulses.next_id(), pulses.next_id());
        pulses.working(busy, "busy");
        pulses.working(idle, "idle");
        pulses.taking(idle);
        assert_eq!(pulses.stuck(Duration::ZERO), Some("busy".to_owned()));
        assert_eq!(pulses.stuck(Duration::from_secs(60)), None);
        pulses.taking(busy);
        assert_eq!(pulses.stuck(Duration::ZERO), None);
    }
}
