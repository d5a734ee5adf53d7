//! Free ports below the range that the system hands to outgoing connections: a client that connects in vain
//! while a service is down would otherwise take, or even connect to, the very port it waits for.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

const FIRST: u16 = 10_000;
const COUNT: u16 = 9_000;
const TRIES: usize = 2_000;

/// A port that nobody listens on and that this process has not given before.
pub fn free() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    for _ in 0..TRIES {
        let port = FIRST + random_below(COUNT);
        if is_free(port) && given.insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port was found between {FIRST} and {}", FIRST + COUNT)
}

pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Processes that start at the same moment must not try the same ports: the standard library seeds its
/// hash maps from the system's randomness.
fn random_below(count: u16) -> u16 {
    let random = RandomState::new().build_hasher().finish() % u64::from(count);
    u16::try_from(random).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let (one, other) = (free().unwrap(), free().unwrap());
        assert_ne!(one, other);
        let held = TcpListener::bind(("127.0.0.1", one)).unwrap();
        assert!(!is_free(one), "somebody listens on {:?}", held.local_addr());
        assert!((FIRST..FIRST + COUNT).contains(&other));
    }
}
