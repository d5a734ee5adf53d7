//! The loop by which a service follows the event log: effect first, commit after, never stuck for ever.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use kernel::event::{Event, Record};
use kernel::ports::{Consumer, Delivery, EventLog, LogError, StartAt, StoreError, Subscription};
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
/// with growing pauses: for as long as the store is away; else a few times, and then it is told as an error,
/// counted (`turnline_events_failed_total`) and put to the dead letters, and the next one follows. At the
/// tail of the log, where every node hears everything, it is told and counted only.
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
    let (width, handle) = (width.max(1), &handle);
    let desk = Desk { log, group: &subscription.group, start: subscription.start, stop: &stop };
    let desk = &desk;
    follow(desk, &subscription, |deliveries| async move {
        let attempts = stream::iter(deliveries)
            .map(async |one| attempt(desk, &one, || handle(one.record.clone())).await);
        let mut work = attempts.buffer_unordered(width);
        while let Some(done) = work.next().await {
            if !done {
                return false;
            }
        }
        true
    })
    .await;
}

/// Hands whole batches to `keep`, which stores them to be worked on later. Where a batch has a fault, its
/// records are handed over one by one, and treated as by [`consume`].
pub async fn receive<H, F, E>(
    log: &dyn EventLog,
    subscription: Subscription,
    stop: CancellationToken,
    keep: H,
) where
    H: Fn(Vec<Delivery>) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Failure,
{
    let keep = &keep;
    let desk = Desk { log, group: &subscription.group, start: subscription.start, stop: &stop };
    let desk = &desk;
    follow(desk, &subscription, |deliveries| async move {
        if keep(deliveries.clone()).await.is_ok() {
            return true;
        }
        for one in &deliveries {
            if !attempt(desk, one, || keep(vec![one.clone()])).await {
                return false;
            }
        }
        true
    })
    .await;
}

/// For whom the records are handled.
struct Desk<'a> {
    log: &'a dyn EventLog,
    group: &'a str,
    start: StartAt,
    stop: &'a CancellationToken,
}

/// Subscribes, again and again when the log fails, and commits what `work` says is done; it says no when we
/// were told to stop before it was.
async fn follow<F>(
    desk: &Desk<'_>,
    subscription: &Subscription,
    work: impl Fn(Vec<Delivery>) -> F + Send + Sync,
) where
    F: Future<Output = bool> + Send,
{
    let mut pause = FIRST_PAUSE;
    while !desk.stop.is_cancelled() {
        let worked = match desk.log.subscribe(subscription.clone()).await {
            Ok(mut consumer) => take(desk, consumer.as_mut(), &work, &mut pause).await,
            Err(error) => Err(error),
        };
        if let Err(error) = worked {
            tracing::warn!(group = desk.group, %error, "the event log fails; trying again");
            rest(desk.stop, pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn take<F>(
    desk: &Desk<'_>,
    consumer: &mut dyn Consumer,
    work: &(impl Fn(Vec<Delivery>) -> F + Send + Sync),
    pause: &mut Duration,
) -> Result<(), LogError>
where
    F: Future<Output = bool> + Send,
{
    loop {
        let deliveries = tokio::select! {
            () = desk.stop.cancelled() => return Ok(()),
            deliveries = consumer.next(BATCH) => deliveries?,
        };
        *pause = FIRST_PAUSE;
        let last = deliveries.last().cloned();
        if !work(deliveries).await {
            return Ok(());
        }
        if let Some(last) = last {
            consumer.commit(&last).await?;
        }
    }
}

/// False when we were told to stop before the record was done.
async fn attempt<F, E>(desk: &Desk<'_>, delivery: &Delivery, handle: impl Fn() -> F + Send + Sync) -> bool
where
    F: Future<Output = Result<(), E>> + Send,
    E: Failure,
{
    let (group, record) = (desk.group, &delivery.record);
    let (mut pause, mut faults) = (FIRST_PAUSE, 0);
    loop {
        let Err(error) = handle().await else { return true };
        if desk.stop.is_cancelled() {
            return false;
        }
        faults += u32::from(!error.passes());
        if faults == ATTEMPTS {
            metrics::counter!("turnline_events_failed_total", "group" => group.to_owned()).increment(1);
            tracing::error!(group, event = record.id, room = %record.room, %error, "an event could not be handled; it is set aside");
            return set_aside_for_sure(desk, delivery, &error.to_string(), faults).await;
        }
        tracing::warn!(group, event = record.id, faults, %error, "an event could not be handled; trying again");
        rest(desk.stop, pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tries until the log has taken it: going on without would lose the event. False when we were told to stop.
async fn set_aside_for_sure(desk: &Desk<'_>, delivery: &Delivery, error: &str, attempts: u32) -> bool {
    if desk.start == StartAt::Tail {
        return true;
    }
    let mut pause = FIRST_PAUSE;
    while let Err(away) = set_aside(desk.log, desk.group, delivery, error, attempts).await {
        tracing::warn!(group = desk.group, event = delivery.record.id, error = %away, "an event cannot be set aside; trying again");
        rest(desk.stop, pause).await;
        if desk.stop.is_cancelled() {
            return false;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    true
}

/// Puts an event to the dead letters, and tells of it as a fault; not that of a fault, or it might have no end.
///
/// # Errors
/// The log has not taken it.
pub async fn set_aside(
    log: &dyn EventLog,
    group: &str,
    delivery: &Delivery,
    error: &str,
    attempts: u32,
) -> Result<(), LogError> {
    log.set_aside(group, delivery, error, attempts).await?;
    let record = &delivery.record;
    if !matches!(record.event, Event::Fault(_)) {
        let detail = format!("event {} could not be handled: {error}", record.id);
        tell_fault(log, Record::fault(&record.room, group, "dead_letter", &record.id, detail, record.at))
            .await;
    }
    Ok(())
}

/// Best effort: what a fault is about is in the logs and figures as well.
pub async fn tell_fault(log: &dyn EventLog, fault: Record) {
    let (id, room) = (fault.id.clone(), fault.room.clone());
    if let Err(error) = log.publish(vec![fault]).await {
        tracing::warn!(fault = id, %room, %error, "a fault could not be told of");
    }
}

async fn rest(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
