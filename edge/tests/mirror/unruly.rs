//! A log as bad as it may be, over the embedded one: it loses what the test says, and brings the topics of
//! the room in any order to each other, some events twice.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backend::embedded::Embedded;
use kernel::event::{Record, RoomEvent};
use kernel::ports::{Consumer, Delivery, EventLog, LogError, Subscription};
use kernel::words::RoomId;
use tokio::sync::watch;

#[derive(Clone)]
pub struct Unruly {
    pub log: Embedded,
    /// Events that are never delivered, by their `seq`.
    pub lost: Arc<Mutex<Range<u64>>>,
    pub order: Arc<watch::Sender<Order>>,
}

#[derive(Debug, Clone, Default)]
pub enum Order {
    #[default]
    AsItComes,
    /// Nothing is delivered until another order is given.
    Held,
    /// When everything through the event `through` is there, it is delivered all mixed up.
    Mixed { through: u64, picks: Vec<Pick> },
}

/// Which of the topics that have events left brings the next one, and whether an earlier one comes again
/// behind it.
#[derive(Debug, Clone)]
pub struct Pick {
    pub topic: usize,
    pub again: Option<usize>,
}

impl Unruly {
    pub fn over(log: Embedded) -> Self {
        Self { log, lost: Arc::default(), order: Arc::default() }
    }
}

#[async_trait]
impl EventLog for Unruly {
    async fn publish(&self, records: Vec<Record>) -> Result<(), LogError> {
        self.log.publish(records).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(Reader {
            consumer: self.log.subscribe(subscription).await?,
            lost: self.lost.clone(),
            order: self.order.subscribe(),
            held: Vec::new(),
            ready: VecDeque::new(),
        }))
    }

    async fn history(&self, room: &RoomId) -> Result<Vec<RoomEvent>, LogError> {
        self.log.history(room).await
    }

    async fn set_aside(
        &self,
        group: &str,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> Result<(), LogError> {
        self.log.set_aside(group, delivery, error, attempts).await
    }
}

struct Reader {
    consumer: Box<dyn Consumer>,
    lost: Arc<Mutex<Range<u64>>>,
    order: watch::Receiver<Order>,
    held: Vec<Delivery>,
    ready: VecDeque<Delivery>,
}

#[async_trait]
impl Consumer for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, LogError> {
        loop {
            let order = self.order.borrow_and_update().clone();
            match order {
                Order::AsItComes => self.ready.extend(self.held.drain(..)),
                Order::Held => {}
                Order::Mixed { through, picks } => {
                    if self.held.iter().any(|delivery| seq(delivery) == Some(through)) {
                        self.ready.extend(mixed(std::mem::take(&mut self.held), &picks));
                    }
                }
            }
            if !self.ready.is_empty() {
                // Few at a time: then the mirror is seen in between, too.
                return Ok(self.ready.drain(..limit.min(3).min(self.ready.len())).collect());
            }
            tokio::select! {
                changed = self.order.changed() => changed.expect("the test is over"),
                batch = self.consumer.next(limit) => {
                    let lost = self.lost.lock().unwrap().clone();
                    let told = |delivery: &Delivery| seq(delivery).is_none_or(|seq| !lost.contains(&seq));
                    self.held.extend(batch?.into_iter().filter(told));
                }
            }
        }
    }

    async fn commit(&mut self, delivery: &Delivery) -> Result<(), LogError> {
        self.consumer.commit(delivery).await
    }
}

fn seq(delivery: &Delivery) -> Option<u64> {
    delivery.record.event.of_room().map(|event| event.seq)
}

/// Each topic in its order, but the topics in no order to each other.
fn mixed(deliveries: Vec<Delivery>, picks: &[Pick]) -> Vec<Delivery> {
    let mut topics: Vec<(_, VecDeque<Delivery>)> = Vec::new();
    for delivery in deliveries {
        let topic = delivery.record.event.topic();
        match topics.iter_mut().find(|(known, _)| *known == topic) {
            Some((_, queue)) => queue.push_back(delivery),
            None => topics.push((topic, VecDeque::from([delivery]))),
        }
    }
    let (mut mixed, mut picks) = (Vec::new(), picks.iter().cycle());
    while !topics.is_empty() {
        let pick = picks.next().expect("there are picks");
        let at = pick.topic % topics.len();
        mixed.extend(topics[at].1.pop_front());
        topics.retain(|(_, queue)| !queue.is_empty());
        if let Some(again) = pick.again {
            let earlier: Delivery = mixed[again % mixed.len()].clone();
            mixed.push(earlier);
        }
    }
    mixed
}
