//! Leases within one process.

use std::sync::Arc;

use async_trait::async_trait;
use dashmap::DashMap;
use kernel::ports::{Clock, Leases, StoreError};
use kernel::words::Timestamp;

pub struct InProcessLeases {
    clock: Arc<dyn Clock>,
    held: DashMap<String, Held>,
}

struct Held {
    holder: String,
    until: Timestamp,
}

impl InProcessLeases {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: DashMap::new() }
    }
}

#[async_trait]
impl Leases for InProcessLeases {
    async fn hold(&self, what: &str, holder: &str, seconds: u64) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mine = || Held { holder: holder.to_owned(), until: now.plus_seconds(seconds) };
        let mut held = self.held.entry(what.to_owned()).or_insert_with(mine);
        let free = held.holder == holder || held.until <= now;
        if free {
            *held = mine();
        }
        Ok(free)
    }

    async fn release(&self, what: &str, holder: &str) -> Result<(), StoreError> {
        self.held.remove_if(what, |_, held| held.holder == holder);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Set(Mutex<Timestamp>);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    #[tokio::test]
    async fn one_holds_until_it_falls_silent_or_lets_go() {
        let clock = Arc::new(Set(Mutex::new(Timestamp::from_millis(0))));
        let leases = InProcessLeases::new(clock.clone());
        assert_eq!(leases.hold("x", "ann", 3).await, Ok(true));
        assert_eq!(leases.hold("x", "bob", 3).await, Ok(false));
        *clock.0.lock().unwrap() = Timestamp::from_millis(2_000);
        assert_eq!(leases.hold("x", "ann", 3).await, Ok(true));
        *clock.0.lock().unwrap() = Timestamp::from_millis(4_999);
        assert_eq!(leases.hold("x", "bob", 3).await, Ok(false));
        *clock.0.lock().unwrap() = Timestamp::from_millis(5_000);
        assert_eq!(leases.hold("x", "bob", 3).await, Ok(true));
        leases.release("x", "ann").await.unwrap();
        assert_eq!(leases.hold("x", "ann", 3).await, Ok(false));
        leases.release("x", "bob").await.unwrap();
        assert_eq!(leases.hold("x", "ann", 3).await, Ok(true));
    }
}
