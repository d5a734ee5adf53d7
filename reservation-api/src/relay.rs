//! The outbox on its way to the event log: each reservation's story in order, woken at once by what somebody
//! waits for, a moment later by what only moved a seat, and by a poll; replicas share the parts of the outbox. An event is marked only after the log has it,
//! so a crash in between tells it twice and never not at all.

use std::sync::Arc;
use std::time::Duration;

use kernel::crash::{self, CrashPoint};
use kernel::ports::reservations::OutboxBatch;
use tokio_util::sync::CancellationToken;

use crate::Shop;

/// Events published at once.
const BATCH: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What moved a seat is told with what follows it within so long, mostly its payment: each telling is a commit
/// of the log and one of the outbox.
const TOGETHER: Duration = Duration::from_millis(100);
/// Tries to tell the rest after the stop; what is left is told at the next start.
const LAST_TRIES: u32 = 3;

pub async fn run(shop: Arc<Shop>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let rest = match drain(&shop).await {
            Ok(()) => {
                pause = FIRST_PAUSE;
                shop.config.relay_poll
            }
            Err(error) => {
                metrics::counter!("turnline_reservation_relay_failures_total").increment(1);
                tracing::warn!(%error, "the outbox could not be told; trying again");
                pause = (pause * 2).min(LONGEST_PAUSE);
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = shop.posted.notified() => {}
            () = moved(&shop) => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
    for _ in 0..LAST_TRIES {
        match drain(&shop).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the outbox could not be told at the end"),
        }
    }
}

async fn moved(shop: &Shop) {
    shop.moved.notified().await;
    tokio::time::sleep(TOGETHER).await;
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Store(#[from] kernel::ports::StoreError),
    #[error(transparent)]
    Log(#[from] kernel::ports::LogError),
}

/// Tells everything that is in the outbox and that no other replica is telling.
async fn drain(shop: &Shop) -> Result<(), RelayError> {
    loop {
        let OutboxBatch { part, entries } = shop.store().outbox(BATCH).await?;
        let Some(oldest) = entries.first() else { return Ok(()) };
        let lag_ms = shop.now().since(oldest.record.at);
        metrics::histogram!("turnline_reservation_outbox_lag_seconds").record(lag_ms as f64 / 1000.0);
        let (told, records): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (entry.entry, entry.record)).unzip();
        let count = records.len() as u64;
        crash::passing(CrashPoint::OutboxRead);
        if let Err(error) = shop.ports.log.publish(records).await {
            shop.store().published(part, Vec::new(), shop.now()).await?;
            return Err(error.into());
        }
        crash::passing(CrashPoint::OutboxTold);
        shop.store().published(part, told, shop.now()).await?;
        crash::passing(CrashPoint::OutboxMarked);
        metrics::counter!("turnline_reservation_events_published_total").increment(count);
    }
}
