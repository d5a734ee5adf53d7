//! Kafka is away while people pay: they pay all the same, and what happened arrives when it is back, once in
//! effect and in order.

use std::sync::Arc;
use std::time::Duration;

use backend::clock::SystemClock;
use backend::cluster::kafka::{Config, KafkaLog};
use kernel::event::{Event, PaymentFact, Record, ReservationFact, Topic};
use kernel::ports::{EventLog, StartAt, Subscription};
use serde_json::json;
use tokio::task::block_in_place;
use turnline_tests::servers::Addresses;
use turnline_tests::{Demo, Server, eventually, fresh_key};
use xtask::services::Services;

const BUYERS: u64 = 20;
/// Kafka is away for as long as these take together: a minute.
const BETWEEN: Duration = Duration::from_secs(3);
const PRICE: i64 = 5_000;
const BOUND: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn payments_succeed_without_kafka_and_are_told_once_and_in_order_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut services = block_in_place(|| Services::start(&dir.path().join("servers"))).unwrap();
    let addresses = Addresses::of(&services);
    let server = Server::start_on(Some(addresses.clone()), &["--charges"], &[]).await;
    server.room("sale", &json!({ "capacity": BUYERS, "claim_seconds": 300, "grace_seconds": 300 })).await;
    server.concert("sale", BUYERS).await;
    let demo = Demo::of(&server).await;
    let mut passes = Vec::new();
    for _ in 0..BUYERS {
        let (_, pass) = server.admitted("sale").await;
        demo.charge(&server, &pass, PRICE).await;
        passes.push(pass);
    }
    block_in_place(|| services.kafka.kill_9()).unwrap();
    let mut payments = Vec::new();
    for (seat, pass) in passes.iter().enumerate() {
        let held = demo.hold(&server, pass, seat).await.expect(201);
        payments.push(
            demo.pay(&server, pass, &held.json["reservation_id"]).await.expect(201).text_of("payment_id"),
        );
        // sleep: the outage lasts meanwhile, and that is what is tested
        tokio::time::sleep(BETWEEN).await;
    }
    assert_eq!(demo.sold(&server).await, BUYERS);
    block_in_place(|| services.kafka.restart()).unwrap();
    eventually("every slot is free", BOUND, async || {
        let room = server.get("/v1/rooms/sale").send().await.expect(200);
        (room.number_of("active") == 0).then_some(())
    })
    .await;

    let told = told(&addresses, 3 * payments.len()).await;
    let mut completed: Vec<&str> = told.iter().filter_map(completed).collect();
    completed.sort_unstable();
    payments.sort_unstable();
    assert_eq!(completed, payments, "each payment once");
    for payment in &payments {
        let confirmed: Vec<_> = told.iter().filter(|record| confirms(record, payment)).collect();
        let [confirmed] = confirmed[..] else { panic!("{payment}: {confirmed:?}") };
        let story = |record: &&Arc<Record>| record.event.story() == confirmed.event.story();
        let of_seats = told.iter().filter(story).filter(|record| record.event.topic() == Topic::Reservations);
        let ids: Vec<&str> = of_seats.map(|record| record.id.as_str()).collect();
        assert!(ids.len() == 2 && ids[0].ends_with(".held") && ids[1] == confirmed.id, "in order: {ids:?}");
    }
}

/// Everything told of seats and payments, each event once; topics come one after the other.
async fn told(addresses: &Addresses, enough: usize) -> Vec<Arc<Record>> {
    let config = Config::new(&addresses.kafka, &addresses.namespace, "outage");
    let log = KafkaLog::connect(config, Arc::new(SystemClock)).await.unwrap();
    let topics = vec![Topic::Payments, Topic::Reservations];
    let from = Subscription { group: format!("outage-{}", fresh_key()), topics, start: StartAt::Committed };
    let mut consumer = log.subscribe(from).await.unwrap();
    let mut told: Vec<Arc<Record>> = Vec::new();
    let hearing = async {
        while told.len() < enough {
            for delivery in consumer.next(100).await.unwrap() {
                if told.iter().all(|known| known.id != delivery.record.id) {
                    told.push(delivery.record);
                }
            }
        }
    };
    tokio::time::timeout(BOUND, hearing).await.expect("everything is told");
    told
}

fn completed(record: &Arc<Record>) -> Option<&str> {
    match &record.event {
        Event::Payment(PaymentFact::PaymentCompleted(payment)) => Some(&payment.payment_id),
        _ => None,
    }
}

fn confirms(record: &Record, payment: &str) -> bool {
    matches!(&record.event, Event::Reservation(ReservationFact::ReservationConfirmed { payment_id, .. }) if payment_id == payment)
}
