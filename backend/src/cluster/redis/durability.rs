//! Whether this Redis keeps what it acknowledges. One that does not works all the same, until it falls: so
//! the operator is told, loudly, at every start.

use std::collections::HashMap;

use redis::cmd;

use super::link::{Fault, Link};

/// What Redis may lose of what was acknowledged, and what to set against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Danger {
    /// Everything, with every restart.
    Everything,
    /// The last second or so, with every crash.
    Newest,
    /// Rooms, whenever its memory is full.
    Evicted,
    /// It does not let us look.
    Unknown,
}

impl Danger {
    fn tell(self, setting: &str) {
        match self {
            Self::Everything => tracing::error!(
                setting,
                "this Redis keeps nothing on disk as it happens: a restart loses tickets that were acknowledged. Set `appendonly yes` and `appendfsync always`"
            ),
            Self::Newest => tracing::error!(
                setting,
                "this Redis puts on disk later what it has acknowledged already: a crash loses the newest tickets. Set `appendfsync always`; joins go in batches, so it costs little"
            ),
            Self::Evicted => tracing::error!(
                setting,
                "this Redis throws keys away when its memory is full: it may throw away a room and its tickets. Set `maxmemory-policy noeviction`"
            ),
            Self::Unknown => tracing::warn!(
                setting,
                "this Redis does not tell its settings (CONFIG GET), so nobody knows whether it keeps what it acknowledges. It should have `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`"
            ),
        }
    }
}

/// Looks at the settings, and tells what is wrong with them.
pub(super) async fn look(link: &Link) -> Vec<Danger> {
    let mut settings = HashMap::new();
    for name in ["appendonly", "appendfsync", "maxmemory-policy"] {
        let told: Result<HashMap<String, String>, Fault> = link.run(cmd("CONFIG").arg("GET").arg(name)).await;
        match told.map(|mut told| told.remove(name)) {
            Ok(Some(value)) => drop(settings.insert(name, value)),
            Ok(None) | Err(_) => {
                Danger::Unknown.tell(name);
                return vec![Danger::Unknown];
            }
        }
    }
    let value = |name: &str| settings.get(name).map_or("", String::as_str);
    let found = dangers(value("appendonly"), value("appendfsync"), value("maxmemory-policy"));
    for (danger, name) in &found {
        danger.tell(&format!("{name} {}", value(name)));
    }
    found.into_iter().map(|(danger, _)| danger).collect()
}

fn dangers(append_only: &str, fsync: &str, eviction: &str) -> Vec<(Danger, &'static str)> {
    let mut found = Vec::new();
    if append_only != "yes" {
        found.push((Danger::Everything, "appendonly"));
    } else if fsync != "always" {
        found.push((Danger::Newest, "appendfsync"));
    }
    if eviction != "noeviction" {
        found.push((Danger::Evicted, "maxmemory-policy"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_keeps_everything_is_safe() {
        let of = |append_only, fsync, eviction| {
            dangers(append_only, fsync, eviction).into_iter().map(|(danger, _)| danger).collect::<Vec<_>>()
        };
        assert_eq!(of("yes", "always", "noeviction"), []);
        assert_eq!(of("no", "always", "noeviction"), [Danger::Everything]);
        assert_eq!(of("yes", "everysec", "noeviction"), [Danger::Newest]);
        assert_eq!(of("yes", "no", "allkeys-lru"), [Danger::Newest, Danger::Evicted]);
        assert_eq!(of("no", "no", "volatile-ttl"), [Danger::Everything, Danger::Evicted]);
    }
}
