//! How long a visitor stays away before the next attempt, as the browser's client does.

use super::clock::{Micros, SECOND};
use crate::simulate::chance::Chance;

const MILLI: Micros = 1_000;
const FIRST: Micros = 500 * MILLI;
const MOST: Micros = 15 * SECOND;
/// A server may ask for patience, not for an afternoon.
const RETRY_AFTER_MOST: u64 = 120;

/// After an end of the channel: by the close code, and how often in a row it went wrong.
pub fn after_close(code: Option<u16>, failures: u8, chance: &mut Chance) -> Micros {
    match code {
        // Restarting: at once, but not all together.
        Some(1012) => 200 * MILLI + upto(2_300 * MILLI, chance),
        // Overloaded, or at odds with us.
        Some(1013 | 1008) => 5 * SECOND + upto(5 * SECOND, chance),
        _ => backoff(failures, chance),
    }
}

/// After a refusal: what the server asked for, and half as much again at random, so that those who were
/// refused together do not come back together.
pub fn after_refusal(retry_after_seconds: Option<u64>, failures: u8, chance: &mut Chance) -> Micros {
    match retry_after_seconds {
        Some(seconds) => {
            let asked = seconds.min(RETRY_AFTER_MOST) * SECOND;
            asked + upto((asked / 2).max(SECOND), chance)
        }
        None => backoff(failures, chance),
    }
}

/// Anything below `most`.
pub fn upto(most: Micros, chance: &mut Chance) -> Micros {
    (most as f64 * chance.unit()) as Micros
}

fn backoff(failures: u8, chance: &mut Chance) -> Micros {
    let bound = (FIRST << failures.min(10)).min(MOST);
    bound / 2 + upto(bound / 2, chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_keep_to_what_was_asked_for() {
        let mut chance = Chance::new(5);
        for _ in 0..200 {
            let asked = after_refusal(Some(4), 0, &mut chance);
            assert!((4 * SECOND..6 * SECOND).contains(&asked), "{asked}");
            let restart = after_close(Some(1012), 9, &mut chance);
            assert!((200 * MILLI..2_500 * MILLI).contains(&restart), "{restart}");
            let busy = after_close(Some(1013), 0, &mut chance);
            assert!((5 * SECOND..10 * SECOND).contains(&busy), "{busy}");
            let cut = after_close(None, 0, &mut chance);
            assert!((250 * MILLI..500 * MILLI).contains(&cut), "{cut}");
        }
        assert!(after_refusal(Some(u64::MAX), 0, &mut chance) <= 3 * RETRY_AFTER_MOST * SECOND / 2);
        assert!(after_refusal(None, 200, &mut chance) <= MOST);
    }
}
