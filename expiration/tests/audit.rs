//! A room whose figures do not agree is told as a fault; a sound one is not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use backend::clock::SystemClock;
use backend::embedded::{Embedded, InProcessPresence, Options};
use expiration::{Config, Expiration, Ports};
use kernel::contract::{T0, policy};
use kernel::event::{Event, Record, RoomEvent, RoomFact};
use kernel::ports::{EventLog, Registry, RoomRecord, RoomStore};
use kernel::ticket::RoomBirth;
use kernel::words::{Ranges, RoomId};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_slot_of_a_number_that_was_never_given_is_told() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(told(&figures)));
}

async fn told(figures: &PrometheusHandle) {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    let room = RoomId::parse("demo").unwrap();
    let record = RoomRecord {
        birth: RoomBirth { room: room.clone(), born: 1 },
        policy: policy(0),
        visitor_key: None,
        lottery_secret: [0; 32],
    };
    store.save(&record).await.unwrap();
    store.configure(&room, &record.policy, None, T0).await.unwrap();
    let all = Arc::new(store.clone());
    let ports = Ports {
        store: all.clone(),
        registry: all.clone(),
        log: all,
        presence: Arc::new(InProcessPresence::default()),
        clock: Arc::new(SystemClock),
    };
    let config = Config { tick: Duration::from_millis(2), ..Config::default() };
    let stop = CancellationToken::new();
    let service = tokio::spawn(Expiration::new(config, ports).run(stop.clone()));
    until(figures, |faults| faults == Some(0)).await;

    // An event as only a fault of ours could write it.
    let seq = store.summary(&room).await.unwrap().version + 1;
    let fact = RoomFact::ActiveTokensIssued { ranges: Ranges::one(99), claim_by: T0 };
    let event = Event::Room(RoomEvent { room: room.clone(), seq, at: T0, fact });
    let record = Record { id: "strange".to_owned(), room, at: T0, traceparent: None, event };
    store.publish(vec![record]).await.unwrap();
    until(figures, |faults| faults.is_some_and(|faults| faults > 0)).await;
    stop.cancel();
    service.await.unwrap();
}

async fn until(figures: &PrometheusHandle, enough: impl Fn(Option<u64>) -> bool) {
    let faults = || {
        let shown = figures.render();
        let line = shown.lines().find_map(|line| line.strip_prefix("turnline_room_faults_total "));
        line.map(|count| count.parse::<u64>().unwrap())
    };
    let look = async {
        while !enough(faults()) {
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, look).await.expect("the faults never showed");
}
