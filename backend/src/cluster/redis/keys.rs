//! What rooms are called in Redis. All keys of a room share the hash tag `{room}`, so a cluster keeps them
//! on one node.

use kernel::ports::Lookout;
use kernel::room::Room;
use kernel::words::{RoomId, Timestamp};

/// Idempotency keys lie together by the ten minutes in which they were used.
const WINDOW_MS: u64 = Room::KEY_SECONDS * 1_000;

/// Where one Turnline's keys begin.
#[derive(Debug, Clone)]
pub(super) struct Space {
    prefix: String,
}

impl Space {
    pub fn new(namespace: &str) -> Self {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}:") };
        Self { prefix: format!("{prefix}tl:") }
    }

    pub fn room(&self, room: &RoomId) -> RoomKeys {
        let stem = format!("{}{{{room}}}:v1:", self.prefix);
        RoomKeys {
            head: format!("{stem}head"),
            events: format!("{stem}events"),
            checkpoint: format!("{stem}checkpoint"),
            visitors: format!("{stem}visitors"),
            nodes: format!("{stem}nodes"),
            stem,
        }
    }

    pub fn lease(&self, what: &str) -> String {
        format!("{}lease:{what}", self.prefix)
    }

    /// Is there as long as somebody looks out.
    pub fn lookout(&self, by: Lookout) -> String {
        format!("{}lookout:{}", self.prefix, by.as_str())
    }

    /// On which it is told that a room has new events.
    pub fn appended(&self) -> String {
        format!("{}appended", self.prefix)
    }
}

/// The keys of one room.
#[derive(Debug, Clone)]
pub(super) struct RoomKeys {
    stem: String,
    pub head: String,
    pub events: String,
    pub checkpoint: String,
    pub visitors: String,
    pub nodes: String,
}

impl RoomKeys {
    pub fn keys(&self, window: u64) -> String {
        format!("{}keys:{window}", self.stem)
    }

    pub fn present(&self, node: &str) -> String {
        format!("{}present:{node}", self.stem)
    }
}

/// The window that a time lies in.
pub(super) fn window(at: Timestamp) -> u64 {
    at.as_millis() / WINDOW_MS
}

/// Keys of a window run out two windows later.
pub(super) const WINDOWS_LIVE_MS: u64 = 2 * WINDOW_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_published() {
        let demo = RoomId::parse("demo").unwrap();
        assert_eq!(Space::new("").room(&demo).events, "tl:{demo}:v1:events");
        assert_eq!(Space::new("a").room(&demo).keys(7), "a:tl:{demo}:v1:keys:7");
        assert_eq!(Space::new("a").lease("relay.demo"), "a:tl:lease:relay.demo");
    }
}
