//! The loop by which a service follows the event log: effect first, commit after, never stuck for ever.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use kernel::event::Record;
use kernel::ports::{Consumer, EventLog, LogError, StoreError, Subscription};
use tokio_util::sync::CancellationToken;

/// Records taken at once.
const BATCH: usize = 256;
/// How often a record that is itself at fault is tried before it is set aside.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a record could not be handled.
pub trait Failure: std::fmt::Display + Send {
    /// Something else was at fault that may come back: the record itself is good, and waits as long as it takes.
    fn passes(&self) -> bool;
}

impl Failure for StoreError {
    fn passes(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::UnknownRoom | Self::Broken(_) => false,
        }
    }
}

impl Failure for std::convert::Infallible {
    fn passes(&self) -> bool {
        match *self {}
    }
}

/// Hands every record to `handle`, one after the other, until `stop`. A record that fails is tried again
/// with growing pauses: for as long as the store is away; else a few times, and then it is told as an error
/// and counted (`turnline_events_failed_total`), and the next one follows.
pub async fn consume<H, F, E>(
    log: &dyn EventLog,
    subscription: Subscription,
    stop: CancellationToken,
    handle: H,
) where
    H: Fn(Arc<Record>) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Failure,
{
    consume_side_by_side(log, subscription, stop, 1, handle).await;
}

/// The same for records whose order does not matter: up to `width` are handled at a time.
pub async fn consume_side_by_side<H, F, E>(
    log: &dyn EventLog,
    subscription: Subscription,
    stop: CancellationToken,
    width: usize,
    handle: H,
) where
    H: Fn(Arc<Record>) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Failure,
{
    let group = subscription.group.clone();
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let worked = match log.subscribe(subscription.clone()).await {
            Ok(mut consumer) => follow(consumer.as_mut(), &group, &stop, width, &handle, &mut pause).await,
            Err(error) => Err(error),
        };
        if let Err(error) = worked {
            tracing::warn!(group, %error, "the event log fails; trying again");
            rest(&stop, pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn follow<H, F, E>(
    consumer: &mut dyn Consumer,
    group: &str,
    stop: &CancellationToken,
    width: usize,
    handle: &H,
    pause: &mut Duration,
) -> Result<(), LogError>
where
    H: Fn(Arc<Record>) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Failure,
{
    loop {
        let deliveries = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            deliveries = consumer.next(BATCH) => deliveries?,
        };
        *pause = FIRST_PAUSE;
        let last = deliveries.last().cloned();
        let mut work = stream::iter(deliveries)
            .map(|delivery| attempt(group, stop, handle, delivery.record))
            .buffer_unordered(width.max(1));
        while let Some(done) = work.next().await {
            if !done {
                return Ok(());
            }
        }
        drop(work);
        if let Some(last) = last {
            consumer.commit(&last).await?;
        }
    }
}

/// False when we were told to stop before the record was done.
async fn attempt<H, F, E>(group: &str, stop: &CancellationToken, handle: &H, record: Arc<Record>) -> bool
where
    H: Fn(Arc<Record>) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Failure,
{
    let (mut pause, mut faults) = (FIRST_PAUSE, 0);
    loop {
        let Err(error) = handle(record.clone()).await else { return true };
        if stop.is_cancelled() {
            return false;
        }
        faults += u32::from(!error.passes());
        if faults == ATTEMPTS {
            metrics::counter!("turnline_events_failed_total", "group" => group.to_owned()).increment(1);
            tracing::error!(group, event = record.id, room = %record.room, %error, "an event could not be handled; it is set aside");
            return true;
        }
        tracing::warn!(group, event = record.id, faults, %error, "an event could not be handled; trying again");
        rest(stop, pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn rest(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
