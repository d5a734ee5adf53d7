//! Who may connect now: as many as this process can hold, as many from one address as is allowed, and no faster
//! than can be taken in beside everything else. Who has to wait is told how long, spread so that a crowd that
//! was cut off comes back as a stream.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use dashmap::DashMap;
use edge::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::spread::mixed;

/// Nobody is asked to wait longer, in seconds.
const LONGEST_WAIT: u64 = 30;
/// Seconds after which a process that is full may have room.
const WHEN_FULL: u64 = 5;

pub struct Door {
    places: Arc<Semaphore>,
    places_max: u32,
    per_address: Option<u32>,
    addresses: Arc<DashMap<IpAddr, u32>>,
    rate: Mutex<Rate>,
}

/// One connection's place among those this process can hold.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    address: Option<(IpAddr, Arc<DashMap<IpAddr, u32>>)>,
}

/// A bucket of handshakes, and how many were sent away since it was last full enough.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    left: f64,
    at: Instant,
    /// Who was sent away and is still expected.
    expected: f64,
}

impl Door {
    pub fn new(places: usize, per_address: Option<u32>, handshakes_per_second: u32, now: Instant) -> Self {
        // A limit that no process reaches is none: what the semaphore counts with is enough.
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let places_max = u32::try_from(places).unwrap_or(u32::MAX).min(most);
        let per_second = f64::from(handshakes_per_second.max(1));
        Self {
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
            per_address,
            addresses: Arc::default(),
            rate: Mutex::new(Rate { per_second, left: per_second, at: now, expected: 0.0 }),
        }
    }

    /// A place for this number's connection.
    ///
    /// # Errors
    /// 503 `channel_full` or `channel_busy`, 429 `too_many_channels`: each with `Retry-After`.
    pub fn admit(&self, number: u64, address: Option<IpAddr>, now: Instant) -> Result<Place, Problem> {
        let refuse = |status, code, detail: &str, seconds| {
            metrics::counter!("turnline_channel_refused_total", "code" => code).increment(1);
            Err(Problem::new(status, code, detail).retry_after(seconds))
        };
        let Ok(permit) = self.places.clone().try_acquire_owned() else {
            let detail = "this node holds as many channels as it can; connect again, or poll tickets/me";
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "channel_full", detail, WHEN_FULL);
        };
        let counted = address.filter(|_| self.per_address.is_some());
        if let (Some(address), Some(most)) = (counted, self.per_address) {
            let mut count = self.addresses.entry(address).or_insert(0);
            if *count >= most {
                let detail = "this address holds as many channels as it may; close one, or poll tickets/me";
                return refuse(StatusCode::TOO_MANY_REQUESTS, "too_many_channels", detail, WHEN_FULL);
            }
            *count += 1;
        }
        let address = counted.map(|address| (address, self.addresses.clone()));
        metrics::gauge!("turnline_channel_sockets").increment(1.0);
        let place = Place { _permit: permit, address };
        match self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(number, now) {
            Ok(()) => Ok(place),
            Err(seconds) => {
                let detail = "too many connect at once; your place is kept, connect again";
                refuse(StatusCode::SERVICE_UNAVAILABLE, "channel_busy", detail, seconds)
            }
        }
    }

    /// Waits until every connection has ended.
    pub async fn emptied(&self) {
        // Nobody closes the semaphore.
        let _ = self.places.acquire_many(self.places_max).await;
    }

    pub fn held(&self) -> usize {
        (self.places_max as usize).saturating_sub(self.places.available_permits())
    }
}

impl Rate {
    /// Takes one handshake, or says in how many seconds to come again: all who are expected are spread evenly
    /// over the time that they take, each by the own number.
    fn take(&mut self, number: u64, now: Instant) -> Result<(), u64> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * self.per_second).min(self.per_second);
        self.expected = (self.expected - passed * self.per_second).max(0.0);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        self.expected += 1.0;
        let spread = ((self.expected / self.per_second).ceil() as u64).clamp(1, LONGEST_WAIT);
        Err(1 + mixed(number) % spread)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("turnline_channel_sockets").decrement(1.0);
        if let Some((address, addresses)) = &self.address
            && let dashmap::Entry::Occupied(mut count) = addresses.entry(*address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::time::Duration;

    use super::*;

    fn refusal(admitted: Result<Place, Problem>) -> Option<&'static str> {
        admitted.err().map(|problem| problem.code)
    }

    #[test]
    fn a_crowd_that_was_cut_off_is_taken_in_as_a_stream() {
        let began = Instant::now();
        let mut rate = Rate { per_second: 1_000.0, left: 1_000.0, at: began, expected: 0.0 };
        // Whoever comes in a second comes somewhere in it.
        let comes = |second: u64, number| Reverse((second * 1_000_000 + mixed(number) % 1_000_000, number));
        let mut due: BinaryHeap<_> = (1..=20_000).map(|number| comes(0, number)).collect();
        let (mut waits, mut last) = (0u64, 0);
        while let Some(Reverse((micros, number))) = due.pop() {
            match rate.take(number, began + Duration::from_micros(micros)) {
                Ok(()) => last = micros / 1_000_000,
                Err(seconds) => {
                    assert!((1..=LONGEST_WAIT).contains(&seconds));
                    waits += 1;
                    due.push(comes(micros / 1_000_000 + seconds, number));
                }
            }
        }
        assert!(last <= 40, "the last came in second {last}");
        assert!(waits <= 60_000, "{waits} were sent away for 20,000 that came");
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let door = Door::new(10, Some(2), 100, Instant::now());
        let admit = |address: &str| door.admit(1, Some(address.parse().unwrap()), Instant::now());
        let (one, _two) = (admit("10.0.0.1").unwrap(), admit("10.0.0.1").unwrap());
        assert_eq!(refusal(admit("10.0.0.1")), Some("too_many_channels"));
        let _other = admit("10.0.0.2").unwrap();
        assert_eq!(door.held(), 3);
        drop(one);
        assert_eq!(refusal(admit("10.0.0.1")), None);
        assert_eq!(door.held(), 2);
    }

    #[test]
    fn a_full_process_says_so() {
        let door = Door::new(1, None, 100, Instant::now());
        let _held = door.admit(1, None, Instant::now()).unwrap();
        assert_eq!(refusal(door.admit(2, None, Instant::now())), Some("channel_full"));
    }
}
