//! What becomes of events that cannot be handled: they wait for a store that is away, and only for that.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Mutex;

use backend::embedded::{Embedded, Options};
use edge::consume;
use kernel::event::{Event, PaymentFact, PaymentRef, Record, Topic};
use kernel::ports::{EventLog, StartAt, StoreError, Subscription};
use kernel::words::{RoomId, Timestamp};
use tokio_util::sync::CancellationToken;

fn paid(number: u64) -> Record {
    let room = RoomId::parse("demo").unwrap();
    let fact = PaymentFact::PaymentCompleted(PaymentRef {
        room: room.clone(),
        payment_id: format!("p{number}"),
        reservation_id: "r".into(),
        performance_id: "f".into(),
        seat_id: "s".into(),
        number,
        amount_minor: 1,
        currency: "EUR".into(),
    });
    let at = Timestamp::from_millis(0);
    Record { id: format!("p{number}"), room, at, traceparent: None, event: Event::Payment(fact) }
}

// Only the pauses between the tries wait for time, which is stopped: each is over at once.
#[tokio::test(start_paused = true)]
async fn an_event_waits_for_a_store_that_is_away_and_a_bad_one_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let log = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
    log.publish((1..=3).map(paid).collect()).await.unwrap();
    let (stop, tries) = (CancellationToken::new(), Mutex::new(HashMap::<String, u32>::new()));
    let topics = vec![Topic::Payments];
    let subscription = Subscription { group: "g".into(), topics, start: StartAt::Committed };
    consume(&log, subscription, stop.clone(), |record| {
        let mut tries = tries.lock().unwrap();
        let tried = tries.entry(record.id.clone()).or_default();
        *tried += 1;
        std::future::ready(match (record.id.as_str(), *tried) {
            ("p1", 1..=50) => Err(StoreError::Unavailable("the disk is full".into())),
            ("p2", _) => Err(StoreError::Broken("a row of another world".into())),
            ("p3", _) => {
                stop.cancel();
                Ok(())
            }
            _ => Ok(()),
        })
    })
    .await;
    let tries = tries.into_inner().unwrap();
    assert_eq!((tries["p1"], tries["p2"], tries["p3"]), (51, 6, 1));
}
