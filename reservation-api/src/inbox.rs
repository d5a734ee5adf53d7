//! What the shop heard and has yet to work on. Receiving only keeps it, so that the log need not tell it
//! again; the work is done from the inbox, and tried again when it fails.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge::Failure;
use futures_util::{StreamExt, stream};
use kernel::crash::{self, CrashPoint};
use kernel::event::{Event, Record};
use kernel::ports::reservations::InboxEntry;
use kernel::ports::{Delivery, StoreError, Subscription};
use kernel::words::RoomId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Shop;

/// Entries worked on between two looks.
const BATCH: usize = 256;
/// How often an entry that is itself at fault is tried before it is put to the dead letters.
const ATTEMPTS: u32 = 6;
/// Before the second try; each further one waits twice as long.
const FIRST_POSTPONED_MS: u64 = 50;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub struct Inbox<'a> {
    shop: &'a Arc<Shop>,
    /// Its group is the consumer's name.
    from: Subscription,
    /// Entries worked on side by side; those of one room in their order only when it is one.
    width: usize,
    /// Rung when there is something new.
    new: &'a Notify,
}

impl<'a> Inbox<'a> {
    pub fn new(shop: &'a Arc<Shop>, from: Subscription, width: usize, new: &'a Notify) -> Self {
        Self { shop, from, width, new }
    }

    /// Receives what concerns us and works on it, until `stop`. What was begun is finished.
    pub async fn run<H, F>(self, stop: CancellationToken, concerns: fn(&Event) -> bool, handle: H)
    where
        H: Fn(Arc<Record>) -> F + Send + Sync,
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let receiving =
            edge::receive(self.shop.ports.log.as_ref(), self.from.clone(), stop.clone(), |deliveries| {
                self.keep(deliveries, concerns)
            });
        tokio::join!(receiving, self.work(&stop, &handle));
    }

    async fn keep(
        &self,
        mut deliveries: Vec<Delivery>,
        concerns: fn(&Event) -> bool,
    ) -> Result<(), StoreError> {
        deliveries.retain(|delivery| concerns(&delivery.record.event));
        if !deliveries.is_empty() {
            self.shop.store().receive(&self.from.group, deliveries, self.shop.now()).await?;
            crash::passing(CrashPoint::InboxKept);
            self.new.notify_one();
        }
        Ok(())
    }

    async fn work<H, F>(&self, stop: &CancellationToken, handle: &H)
    where
        H: Fn(Arc<Record>) -> F + Send + Sync,
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            let rest = match self.round(handle).await {
                Ok(0) => {
                    pause = FIRST_PAUSE;
                    self.shop.config.relay_poll
                }
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(consumer = self.from.group, %error, "the inbox cannot be worked on; trying again");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.new.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Works on what is due; answers how much that was.
    ///
    /// # Errors
    /// The store is away. Entries it kept us from wait as long as it takes; what was done is marked.
    async fn round<H, F>(&self, handle: &H) -> Result<usize, StoreError>
    where
        H: Fn(Arc<Record>) -> F + Send + Sync,
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let (store, now) = (self.shop.store(), self.shop.now());
        let due = store.inbox(&self.from.group, now, BATCH).await?;
        let count = due.len();
        let failed: Mutex<HashSet<RoomId>> = Mutex::default();
        let failed = &failed;
        let worked: Vec<_> = stream::iter(due)
            .map(async |entry: InboxEntry| {
                let room = &entry.delivery.record.room;
                // What follows a failure in its room waits for it.
                if failed.lock().unwrap_or_else(PoisonError::into_inner).contains(room) {
                    return None;
                }
                let done = handle(entry.delivery.record.clone()).await;
                if done.is_err() {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone());
                }
                Some((entry, done))
            })
            .buffer_unordered(self.width)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let (mut done, mut faults, mut away) = (Vec::new(), Vec::new(), None);
        for (entry, result) in worked {
            match result {
                Ok(()) => done.push(entry.entry),
                Err(error) if error.passes() => away = Some(error),
                Err(error) => faults.push((entry, error)),
            }
        }
        if !done.is_empty() {
            crash::passing(CrashPoint::InboxWorked);
            store.handled(done, self.shop.now()).await?;
            crash::passing(CrashPoint::InboxMarked);
        }
        for (entry, error) in faults {
            self.fault(entry, &error).await?;
        }
        away.map_or(Ok(count), Err)
    }

    /// The entry itself is at fault: it is tried again later, and in the end put to the dead letters.
    async fn fault(&self, entry: InboxEntry, error: &StoreError) -> Result<(), StoreError> {
        let (group, store) = (&self.from.group, self.shop.store());
        let InboxEntry { entry, delivery, attempts } = entry;
        let (attempts, event) = (attempts + 1, &delivery.record.id);
        let error = error.to_string();
        if attempts >= ATTEMPTS {
            let log = self.shop.ports.log.as_ref();
            let aside = edge::set_aside(log, group, &delivery, &error, attempts).await;
            match aside {
                Ok(()) => {
                    metrics::counter!("turnline_events_failed_total", "group" => group.clone()).increment(1);
                    tracing::error!(group, event, room = %delivery.record.room, error, "an event could not be handled; it is set aside");
                    return store.discarded(entry).await;
                }
                Err(away) => {
                    tracing::warn!(group, event, error = %away, "an event cannot be set aside; trying again")
                }
            }
        }
        tracing::warn!(group, event, attempts, error, "an event could not be handled; trying again");
        let wait_ms = FIRST_POSTPONED_MS << attempts.min(ATTEMPTS);
        store.postponed(entry, &error, attempts, self.shop.now().plus_millis(wait_ms)).await
    }
}
