//! The concert that `--demo` sells.

use kernel::reservation::concert::rows_of_seats;
use kernel::reservation::{Concert, Currency, Performance};
use kernel::words::{RoomId, Timestamp};

/// 2030-06-01T19:00:00Z: fixed, so that seeding again after a restart finds the very same concert.
const STARTS_AT: Timestamp = Timestamp::from_millis(1_906_570_800_000);
const PRICE_MINOR: i64 = 5_000;

/// Concert `demo` in `room`, with performance `demo-1` of `seats` seats at 50.00 each.
pub fn demo_concert(room: RoomId, seats: usize) -> Concert {
    Concert {
        id: "demo".to_owned(),
        title: "An Evening at the Demo Hall".to_owned(),
        room,
        currency: Currency::DEFAULT,
        performances: vec![Performance {
            performance_id: "demo-1".to_owned(),
            starts_at: STARTS_AT,
            seats: rows_of_seats(seats, PRICE_MINOR),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_can_be_added() {
        let demo = demo_concert(RoomId::parse("demo").unwrap(), 200);
        assert_eq!(demo.check(), Ok(()));
        assert_eq!(demo.performances[0].starts_at.to_string(), "2030-06-01T19:00:00Z");
    }
}
