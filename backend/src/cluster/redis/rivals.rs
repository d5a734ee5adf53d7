//! Other processes that append to the same room just now. Who has won a race is the quickest to run the next
//! one too, having nothing to take up; so it waits a little, that the others have their turn.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Who has appended within this time still does.
const SEEN: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_millis(5);

#[derive(Default)]
pub(super) struct Rivals {
    /// By node, when it was last seen.
    seen: HashMap<String, Instant>,
}

impl Rivals {
    /// Takes note of who wrote an event; `own` is this process's node.
    pub fn note(&mut self, writer: &str, own: &str) {
        let node = writer.split('.').next().unwrap_or(writer);
        if node != own {
            self.seen.insert(node.to_owned(), Instant::now());
        }
    }

    /// How long to leave the room to the others, when a step takes `step`; zero without any.
    pub fn turn(&mut self, step: Duration) -> Duration {
        self.seen.retain(|_, at| at.elapsed() < SEEN);
        let others = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        step.saturating_mul(others).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_have_a_step_each() {
        let (mut rivals, step) = (Rivals::default(), Duration::from_millis(1));
        rivals.note("own.1", "own");
        assert_eq!(rivals.turn(step), Duration::ZERO);
        for writer in ["a.1", "a.2", "b.1"] {
            rivals.note(writer, "own");
        }
        assert_eq!(rivals.turn(step), step * 2);
        assert_eq!(rivals.turn(step * 100), LONGEST);
    }
}
