//! Tells people what happens, by a webhook: payments and faults, many at once and not too often. Never on the
//! way of a request: what is to be told waits in the inbox, through restarts and while the webhook is away.

mod digest;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use kernel::event::Topic;
use kernel::ports::reservations::InboxEntry;
use kernel::ports::{StartAt, StoreError, Subscription};
use kernel::words::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Shop;
use digest::Digest;
use webhook::Refused;
pub use webhook::{BadWebhook, Webhook};

const GROUP: &str = "reservation-api.notifier";
/// Events that one message may speak of.
const BATCH: usize = 1_000;
/// What happened longer ago is no news: it is counted, and told in one line.
const NEWS_MS: u64 = 60 * 60 * 1000;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs until `stop`; at once over where no webhook is configured.
pub async fn run(shop: &Arc<Shop>, stop: CancellationToken) {
    let Some(webhook) = &shop.config.webhook else { return };
    let (log, new) = (shop.ports.log.as_ref(), Notify::new());
    let topics = vec![Topic::Payments, Topic::Faults];
    let from = Subscription { group: GROUP.to_owned(), topics, start: StartAt::Committed };
    let receiving = edge::receive(log, from, stop.clone(), |deliveries| async {
        shop.store().receive(GROUP, deliveries, shop.now()).await?;
        new.notify_one();
        Ok::<_, StoreError>(())
    });
    tokio::join!(receiving, tell(shop, webhook, &new, &stop));
}

/// Posts what is due, at most once in `notify_every`, so that what happens meanwhile is one message.
async fn tell(shop: &Shop, webhook: &Webhook, new: &Notify, stop: &CancellationToken) {
    let (mut pause, mut next) = (FIRST_PAUSE, Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = round(shop, webhook) => done,
        };
        let rest = match done {
            Ok(0) => {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = new.notified() => {}
                    () = tokio::time::sleep(shop.config.relay_poll) => {}
                }
                Duration::ZERO
            }
            Ok(_) => {
                pause = FIRST_PAUSE;
                shop.config.notify_every
            }
            Err(failed) => {
                metrics::counter!("turnline_notifications_failed_total").increment(1);
                let wait = failed.retry_after().unwrap_or(pause);
                tracing::warn!(error = %failed, seconds = wait.as_secs(), "people cannot be told; what there is to tell waits");
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait.min(LONGEST_PAUSE)
            }
        };
        next = Instant::now() + rest;
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Webhook(#[from] Refused),
}

impl Failed {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(_) => None,
            Self::Webhook(refused) => refused.retry_after,
        }
    }
}

/// Answers how many events were told.
async fn round(shop: &Shop, webhook: &Webhook) -> Result<usize, Failed> {
    let now = shop.now();
    let due = shop.store().inbox(GROUP, now, BATCH).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let told = due.len();
    if let Some(text) = digest(&due, now).text() {
        webhook.post(&text).await?;
        metrics::counter!("turnline_notifications_total").increment(1);
    }
    // A crash before this tells them once more: rather twice than never.
    shop.store().handled(due.into_iter().map(|entry| entry.entry).collect(), shop.now()).await?;
    Ok(told)
}

fn digest(due: &[InboxEntry], now: Timestamp) -> Digest {
    let mut digest = Digest::default();
    for entry in due {
        let record = &entry.delivery.record;
        if now.since(record.at) > NEWS_MS {
            digest.old += 1;
        } else {
            digest.add(&record.event);
        }
    }
    digest
}
