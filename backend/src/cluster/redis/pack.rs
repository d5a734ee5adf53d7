//! Who is known by what, packed: visitors with their numbers, idempotency keys with their numbers and times.

use kernel::event::RoomEvent;
use kernel::event::v1::Arrival;
use kernel::words::{Digest, Timestamp};

use super::keys::window;

const VISITOR: usize = 24;
const KEY: usize = 32;

/// Packed records, in the order of arrival.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub visitors: Vec<u8>,
    /// Of the window before `window`, and of it.
    pub keys_before: Vec<u8>,
    pub keys: Vec<u8>,
}

impl Known {
    /// Those who became known by `events`. Keys from before the last window have run out.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a RoomEvent>, now: u64) -> Self {
        let mut packed = Self::default();
        for event in events {
            for arrival in event.fact.known() {
                packed.add(arrival, event.at, now);
            }
        }
        packed
    }

    /// Behind those that are here already.
    pub fn extend(&mut self, later: Self) {
        self.visitors.extend(later.visitors);
        self.keys_before.extend(later.keys_before);
        self.keys.extend(later.keys);
    }

    fn add(&mut self, arrival: &Arrival, at: Timestamp, now: u64) {
        let number = arrival.number.to_be_bytes();
        if let Some(visitor) = arrival.visitor {
            self.visitors.extend(visitor.0.iter().chain(&number));
        }
        let keys = if window(at) >= now { &mut self.keys } else { &mut self.keys_before };
        if let Some(key) = arrival.key
            && window(at) + 1 >= now
        {
            keys.extend(key.0.iter().chain(&number).chain(&at.as_millis().to_be_bytes()));
        }
    }
}

/// Visitors and keys as [`kernel::room::Room::restore`] takes them.
pub(super) fn unpacked<'a>(
    visitors: &'a [u8],
    keys: &'a [Vec<u8>],
) -> impl Iterator<Item = (Timestamp, Arrival)> + 'a {
    let visitors = visitors.chunks_exact(VISITOR).map(|record| {
        let arrival = Arrival { number: uint(record, 16), visitor: Some(digest(record)), key: None };
        (Timestamp::from_millis(0), arrival)
    });
    let keys = keys.iter().flat_map(|window| window.chunks_exact(KEY)).map(|record| {
        let arrival = Arrival { number: uint(record, 16), visitor: None, key: Some(digest(record)) };
        (Timestamp::from_millis(uint(record, 24)), arrival)
    });
    visitors.chain(keys)
}

fn digest(record: &[u8]) -> Digest {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(record).for_each(|(to, from)| *to = *from);
    Digest(bytes)
}

fn uint(record: &[u8], from: usize) -> u64 {
    record.iter().skip(from).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use kernel::event::RoomFact;
    use kernel::words::RoomId;

    use super::*;

    const TEN_MINUTES: u64 = 600_000;

    fn joined(number: u64, at: Timestamp, visitor: Option<Digest>, key: Option<Digest>) -> RoomEvent {
        let visitors = vec![Arrival { number, visitor, key }];
        let fact = RoomFact::WaitingTokensIssued { first: number, last: number, lanes: Vec::new(), visitors };
        RoomEvent { room: RoomId::parse("r").unwrap(), seq: number, at, fact }
    }

    #[test]
    fn what_is_packed_is_read_again_as_long_as_it_counts() {
        let (ann, key) = (Some(Digest::of(&[b"ann"])), Some(Digest::of(&[b"key"])));
        let at = |window: u64| Timestamp::from_millis(window * TEN_MINUTES + 5);
        let events = [
            joined(1, at(1), ann, key),
            joined(2, at(8), None, key),
            joined(3, at(9), ann, key),
            joined(4, at(10), None, key),
        ];
        let known = Known::of(&events, 9);
        assert_eq!((known.visitors.len(), known.keys_before.len(), known.keys.len()), (48, 32, 64));
        let read: Vec<_> = unpacked(&known.visitors, &[known.keys_before, known.keys]).collect();
        let key_of = |number, window| (at(window), Arrival { number, visitor: None, key });
        let visitor = |number| (Timestamp::from_millis(0), Arrival { number, visitor: ann, key: None });
        assert_eq!(read, [visitor(1), visitor(3), key_of(2, 8), key_of(3, 9), key_of(4, 10)]);
    }
}
