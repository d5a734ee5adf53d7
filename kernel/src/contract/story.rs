//! What happened in a room, read from the log of any backend as a consumer reads it: each event once, in order.

use crate::event::{Event, RoomEvent, Topic};
use crate::ports::{Consumer, EventLog, StartAt, Subscription};
use crate::words::RoomId;

/// Records taken at once.
const BATCH: usize = 256;

pub struct Story {
    room: RoomId,
    consumer: Box<dyn Consumer>,
    events: Vec<RoomEvent>,
}

impl Story {
    /// Of `room`, from its beginning.
    pub async fn of(room: &RoomId, log: &dyn EventLog) -> Self {
        let topics = Topic::OF_ROOMS.to_vec();
        let subscription = Subscription { group: "story".to_owned(), topics, start: StartAt::Committed };
        let consumer = log.subscribe(subscription).await.unwrap();
        Self { room: room.clone(), consumer, events: Vec::new() }
    }

    /// Reads on until what happened satisfies `enough`; waits for it as long as it takes.
    pub async fn until(&mut self, enough: impl Fn(&[RoomEvent]) -> bool) -> Vec<RoomEvent> {
        while !enough(&self.events) {
            for delivery in self.consumer.next(BATCH).await.unwrap() {
                let Event::Room(event) = &delivery.record.event else { continue };
                let last = self.events.last().map_or(0, |event| event.seq);
                // What was delivered before comes again now and then.
                if event.room == self.room && event.seq > last {
                    assert_eq!(event.seq, last + 1, "the log left out events of the room");
                    self.events.push(event.clone());
                }
            }
        }
        self.events.clone()
    }

    /// Reads on to the event that made `version` of the room.
    pub async fn through(&mut self, version: u64) -> Vec<RoomEvent> {
        self.until(|events| events.last().map_or(0, |event| event.seq) >= version).await
    }
}
