//! What `--demo` seeds: a room and a concert with one performance.

use anyhow::bail;
use edge::Problem;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::reservations::Added;
use kernel::reservation::concert::rows_of_seats;
use kernel::reservation::{Concert, Currency, Performance};
use kernel::words::{RoomId, Timestamp};

use super::System;
use crate::settings::Settings;

pub const ROOM: &str = "demo";
pub const PERFORMANCE: &str = "demo-1";
/// Euro cents.
const PRICE_MINOR: i64 = 5_000;

pub async fn seed(system: &System, settings: &Settings) -> anyhow::Result<()> {
    let room = RoomId::parse(ROOM)?;
    let configured = system.waiting_queue.configure_room(&room, policy(settings.demo_capacity)).await;
    configured
        .map_err(|problem: Problem| anyhow::anyhow!("the demo room cannot be made: {}", problem.code))?;
    match system.reservation_api.seed_concert(concert(room, settings.demo_seats)?).await? {
        Added::New | Added::Already => {}
        Added::Different | Added::PerformanceTaken(_) | Added::OtherCurrency(_) => {
            let seats = settings.demo_seats;
            tracing::warn!(seats, "the data directory holds another demo concert, which stays as it is");
        }
    }
    Ok(())
}

fn policy(capacity: u64) -> Policy {
    Policy {
        capacity,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: Some(format!("/book/{PERFORMANCE}")),
    }
}

fn concert(room: RoomId, seats: usize) -> anyhow::Result<Concert> {
    let performance = Performance {
        performance_id: PERFORMANCE.to_owned(),
        starts_at: Timestamp::parse("2030-06-21T19:30:00Z")?,
        seats: rows_of_seats(seats, PRICE_MINOR),
    };
    let concert = Concert {
        id: "demo".to_owned(),
        title: "Midsummer Night, the Turnline Orchestra".to_owned(),
        room,
        currency: Currency::DEFAULT,
        performances: vec![performance],
    };
    if let Err(bad) = concert.check() {
        bail!("the demo concert cannot be made: {bad}; choose another --demo-seats");
    }
    Ok(concert)
}
