//! A payment that could not be handled, from its being set aside until the operator puts it back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use backend::embedded::{Embedded, Options};
use kernel::event::{Event, PaymentFact, PaymentRef, Record, Topic};
use kernel::ports::{EventLog, StartAt, StoreError, Subscription};
use kernel::words::{RoomId, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use turnline_tests::Server;

/// As active-queue reads payments.
const GROUP: &str = "active-queue";

#[tokio::test]
async fn a_payment_that_was_set_aside_frees_its_slot_when_the_operator_puts_it_back() {
    let mut server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let (payer, _) = server.admitted("r").await;
    let next = server.join("r").await;
    assert!(server.terminate().await.success());
    a_faulty_version_reads_the_payment(&server.data_dir(), payer.number).await;
    server.restart().await;
    assert_eq!(server.status(&payer).await.json["state"], "active", "nobody handled the payment");

    let table = operator(&server, &["dlq", "list"]).await;
    let letter = table.lines().nth(1).unwrap_or_else(|| panic!("no letter in {table:?}"));
    for word in ["turnline.payments", GROUP, " r ", " no ", "another world"] {
        assert!(letter.contains(word), "{word:?} is not in {table}");
    }
    let id = letter.split_whitespace().next().unwrap();
    let shown = operator(&server, &["dlq", "show", id]).await;
    for word in ["attempts  6", "event_id  paid", "replayed  false", "\"type\": \"PaymentCompleted\""] {
        assert!(shown.contains(word), "{word:?} is not in {shown}");
    }

    assert!(operator(&server, &["dlq", "replay", id]).await.contains("is put back"));
    server.until_state(&next, "active").await;
    assert_eq!(server.status(&payer).await.json["reason"], "paid");
    assert!(operator(&server, &["dlq", "replay", id]).await.contains("was put back before"));
    assert!(operator(&server, &["dlq", "show", id]).await.contains("replayed  true"));
}

/// Two payments come to a version that cannot handle the first.
async fn a_faulty_version_reads_the_payment(directory: &Path, number: i64) {
    let log = Embedded::open(directory, Options::default()).unwrap();
    log.publish(vec![paid("paid", number.unsigned_abs()), paid("other", 999)]).await.unwrap();
    let subscription =
        Subscription { group: GROUP.to_owned(), topics: vec![Topic::Payments], start: StartAt::Committed };
    let stop = CancellationToken::new();
    edge::consume(&log, subscription, stop.clone(), |record| {
        std::future::ready(if record.id == "paid" {
            Err(StoreError::Broken("another world".to_owned()))
        } else {
            stop.cancel();
            Ok(())
        })
    })
    .await;
    log.close();
}

fn paid(id: &str, number: u64) -> Record {
    let room = RoomId::parse("r").unwrap();
    let fact = PaymentFact::PaymentCompleted(PaymentRef {
        room: room.clone(),
        payment_id: id.to_owned(),
        reservation_id: "reservation".to_owned(),
        performance_id: "performance".to_owned(),
        seat_id: "A1".to_owned(),
        number,
        amount_minor: 4_500,
        currency: "EUR".to_owned(),
    });
    let at = Timestamp::from_millis(1_700_000_000_000);
    Record { id: id.to_owned(), room, at, traceparent: None, event: Event::Payment(fact) }
}

async fn operator(server: &Server, words: &[&str]) -> String {
    let output = server.command().args(words).args(["--url", &server.url()]).output().await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
