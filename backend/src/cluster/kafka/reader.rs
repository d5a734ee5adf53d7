//! One consumer: what it hands out, and what of that is committed.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use kernel::event::Topic;
use kernel::ports::{Consumer, Delivery, LogError, Place, StartAt};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message, OwnedMessage};

use super::client::Member;
use super::dead_letters::Letter;
use super::handed::Handed;
use super::{Inner, aside, blocking, envelope, unavailable};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Reader {
    log: Arc<Inner>,
    group: String,
    start: StartAt,
    /// By the names they have in Kafka.
    topics: HashMap<String, Topic>,
    /// None only while it ends.
    consumer: Option<Arc<StreamConsumer<Member>>>,
    ready: VecDeque<Delivery>,
    /// What could not be read, behind everything that is ready.
    poison: Option<Poison>,
    handed: Handed,
    /// Everything up to this delivery is done, and its commit has not succeeded yet.
    owed: Option<u64>,
    /// Names this consumer among those of the process.
    id: u64,
}

struct Poison {
    message: OwnedMessage,
    topic: Topic,
    error: String,
}

impl Reader {
    pub fn new(
        log: Arc<Inner>,
        group: String,
        start: StartAt,
        topics: HashMap<String, Topic>,
        consumer: StreamConsumer<Member>,
    ) -> Self {
        let id = log.pulses.next_id();
        Self {
            log,
            group,
            start,
            topics,
            consumer: Some(Arc::new(consumer)),
            ready: VecDeque::new(),
            poison: None,
            handed: Handed::default(),
            owed: None,
            id,
        }
    }

    fn consumer(&self) -> Result<Arc<StreamConsumer<Member>>, LogError> {
        self.consumer.clone().ok_or_else(|| unavailable("it has been closed"))
    }

    /// Takes what is there, up to `limit`; waits only when there is nothing.
    async fn gather(&mut self, limit: usize) -> Result<(), LogError> {
        let consumer = self.consumer()?;
        while self.ready.len() < limit && self.poison.is_none() {
            let received = if self.ready.is_empty() {
                consumer.recv().await
            } else {
                let Some(received) = at_once(consumer.recv()) else { break };
                received
            };
            self.forget_revoked(&consumer);
            self.take(received)?;
        }
        self.forget_revoked(&consumer);
        Ok(())
    }

    fn take(&mut self, received: KafkaResult<BorrowedMessage<'_>>) -> Result<(), LogError> {
        let message = match received {
            Ok(message) => message,
            Err(error) => return self.bear(error),
        };
        let Some(topic) = self.topics.get(message.topic()).copied() else { return Ok(()) };
        match envelope::decode(topic, &message) {
            Ok(record) => {
                let place = place(&message);
                let offset = self.handed.given(topic, place, false);
                self.ready.push_back(Delivery { record: Arc::new(record), place, offset });
            }
            Err(error) => {
                metrics::counter!("turnline_log_unreadable_total", "topic" => topic.as_str()).increment(1);
                tracing::error!(group = self.group, topic = topic.as_str(), place = %place(&message), %error, "a message of the log cannot be read; it is set aside");
                // At the tail every node hears it: whoever works for a group keeps it.
                if self.start == StartAt::Committed {
                    self.poison = Some(Poison { message: message.detach(), topic, error: error.to_string() });
                }
            }
        }
        Ok(())
    }

    /// Most troubles pass by themselves, while the client tries on.
    fn bear(&self, error: KafkaError) -> Result<(), LogError> {
        use RDKafkaErrorCode::{GroupAuthorizationFailed, PollExceeded, TopicAuthorizationFailed};
        match error.rdkafka_error_code() {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(unavailable(error)),
            Some(TopicAuthorizationFailed | GroupAuthorizationFailed) => Err(unavailable(error)),
            Some(PollExceeded) => {
                metrics::counter!("turnline_log_evictions_total", "group" => self.group.clone()).increment(1);
                tracing::error!(
                    group = self.group,
                    "events were not taken for so long that others got our partitions; joining the group again"
                );
                Ok(())
            }
            Some(_) | None => {
                tracing::debug!(group = self.group, %error, "the log is in trouble; waiting on");
                Ok(())
            }
        }
    }

    /// Others deliver again what we had not committed of the partitions that went to them.
    fn forget_revoked(&mut self, consumer: &StreamConsumer<Member>) {
        for (name, partition) in consumer.context().take_revoked() {
            let (Some(topic), Ok(partition)) = (self.topics.get(&name), u32::try_from(partition)) else {
                continue;
            };
            self.handed.forget(*topic, partition);
            let elsewhere = |delivery: &Delivery| {
                delivery.record.event.topic() == *topic && delivery.place.partition == partition
            };
            self.ready.retain(|delivery| !elsewhere(delivery));
        }
    }

    /// Tries until the dead letters have it: going on without would lose it.
    async fn set_poison_aside(&mut self) -> Result<(), LogError> {
        let mut pause = FIRST_PAUSE;
        while let Some(poison) = &self.poison {
            let letter = Letter::of_message(&poison.message, poison.topic, &self.group, &poison.error);
            match self.log.keep_letter(letter).await {
                Ok(()) => {
                    self.handed.given(poison.topic, place(&poison.message), true);
                    self.poison = None;
                }
                Err(error) => {
                    tracing::warn!(group = self.group, %error, "an unreadable message cannot be set aside; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        // With nothing else underway there would be no commit that takes it along.
        if let Some(last) = self.handed.done_through() {
            self.owed = Some(last);
            self.pay().await?;
        }
        Ok(())
    }

    /// Commits what is owed. A commit that fails is made up for by the next one, or what it was about is
    /// delivered again: partitions may have gone elsewhere, or the broker may be away.
    async fn pay(&mut self) -> Result<(), LogError> {
        let Some(owed) = self.owed else { return Ok(()) };
        let offsets = self.handed.offsets(owed, &self.log.config).map_err(unavailable)?;
        if offsets.count() > 0 {
            let consumer = self.consumer()?;
            let committed = blocking(move || consumer.commit(&offsets, CommitMode::Sync)).await?;
            if let Err(error) = committed {
                metrics::counter!("turnline_log_commits_failed_total", "group" => self.group.clone())
                    .increment(1);
                tracing::warn!(group = self.group, %error, "what was done could not be committed; the next commit makes up for it, or it comes again");
                return Ok(());
            }
        }
        self.handed.settled(owed);
        self.owed = None;
        Ok(())
    }
}

#[async_trait]
impl Consumer for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, LogError> {
        self.log.pulses.taking(self.id);
        while self.ready.is_empty() {
            self.set_poison_aside().await?;
            self.gather(limit.max(1)).await?;
        }
        if self.start == StartAt::Committed {
            self.log.pulses.working(self.id, &self.group);
        }
        let count = self.ready.len().min(limit.max(1));
        Ok(self.ready.drain(..count).collect())
    }

    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError> {
        if self.start == StartAt::Tail {
            return Ok(());
        }
        let consumer = self.consumer()?;
        self.forget_revoked(&consumer);
        self.owed = self.owed.max(Some(delivery.offset));
        self.pay().await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.pulses.taking(self.id);
        let Some(consumer) = self.consumer.take() else { return };
        let owed = self.owed.and_then(|owed| self.handed.offsets(owed, &self.log.config).ok());
        // Leaving the group takes a word with the broker.
        aside(move || {
            if let Some(offsets) = owed
                && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
            {
                tracing::debug!(%error, "what was done could not be committed; it comes again");
            }
            drop(consumer);
        });
    }
}

fn place(message: &impl Message) -> Place {
    let partition = u32::try_from(message.partition()).unwrap_or_default();
    Place { partition, offset: u64::try_from(message.offset()).unwrap_or_default() }
}

/// What `work` has to say without waiting.
fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
