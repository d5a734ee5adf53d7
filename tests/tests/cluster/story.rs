//! What Kafka tells of a room, read as anybody may who consumes the events, and what must hold in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::clock::SystemClock;
use backend::cluster::kafka::{Config, KafkaLog};
use kernel::event::{Event, PaymentFact, RoomEvent, RoomFact, Topic};
use kernel::ports::{EventLog, StartAt, Subscription};
use kernel::words::{EndReason, RoomId};
use turnline_tests::fresh_key;
use turnline_tests::servers::Addresses;

/// How long the last events may take to arrive in Kafka, and we to read them all.
const ALL_TOLD: Duration = Duration::from_secs(60);
const TICK_MS: u64 = 1_000;

/// The events of one room as they stand in Kafka.
pub struct Story {
    /// Topic by topic in the order of their places, repetitions included.
    topics: BTreeMap<Topic, Vec<RoomEvent>>,
    /// By `seq`; what was told twice counts once.
    events: BTreeMap<u64, RoomEvent>,
    /// Numbers of completed payments; what was told twice counts once.
    paid: BTreeSet<u64>,
}

impl Story {
    /// Reads everything until `whole` says that nothing is missing.
    pub async fn read(addresses: &Addresses, room: &str, whole: impl Fn(&Story) -> bool) -> Story {
        let room = RoomId::parse(room).expect("a room's name");
        let config = Config::new(&addresses.kafka, &addresses.namespace, "story");
        let log = KafkaLog::connect(config, Arc::new(SystemClock)).await.expect("Kafka answers");
        let topics = [&Topic::OF_ROOMS[..], &[Topic::Payments]].concat();
        // A group of its own begins at the beginning.
        let subscription =
            Subscription { group: format!("story-{}", fresh_key()), topics, start: StartAt::Committed };
        let mut consumer = log.subscribe(subscription).await.expect("to subscribe");
        let mut story = Story { topics: BTreeMap::new(), events: BTreeMap::new(), paid: BTreeSet::new() };
        let began = Instant::now();
        while !whole(&story) {
            let left = ALL_TOLD.saturating_sub(began.elapsed());
            let Ok(next) = tokio::time::timeout(left, consumer.next(1_000)).await else {
                panic!("Kafka does not have the whole story within {ALL_TOLD:?}: {}", story.summary());
            };
            for delivery in next.expect("to read from Kafka") {
                if delivery.record.room == room {
                    story.hear(&delivery.record.event);
                }
            }
        }
        story
    }

    /// The events that the room is made of: without those that reached Kafka behind the back of a rebuild.
    fn surviving(&self) -> impl Iterator<Item = &RoomEvent> {
        let rebuilt = self.events.values().filter_map(|event| match &event.fact {
            RoomFact::RoomRebuilt { through_seq, .. } => Some((*through_seq, event.seq)),
            _ => None,
        });
        let lost: Vec<(u64, u64)> = rebuilt.collect();
        self.events.values().filter(move |event| {
            !lost.iter().any(|(through, rebuilt)| event.seq > *through && event.seq < *rebuilt)
        })
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Room(event) => {
                let topic = Event::Room(event.clone()).topic();
                self.topics.entry(topic).or_default().push(event.clone());
                let same = self.events.entry(event.seq).or_insert_with(|| event.clone());
                assert_eq!(same, event, "two events with one seq");
            }
            Event::Payment(PaymentFact::PaymentCompleted(payment)) => {
                self.paid.insert(payment.number);
            }
            Event::Reservation(_)
            | Event::Payment(_)
            | Event::Cancellation(_)
            | Event::Reply(_)
            | Event::Fault(_) => {}
        }
    }

    pub fn summary(&self) -> String {
        format!(
            "{} events, the last with seq {:?}; {} payments, {} releases",
            self.events.len(),
            self.events.keys().last(),
            self.paid.len(),
            self.releases().count()
        )
    }

    /// Numbers that paid.
    pub fn paid(&self) -> &BTreeSet<u64> {
        &self.paid
    }

    pub fn releases(&self) -> impl Iterator<Item = (u64, EndReason)> {
        self.surviving().filter_map(|event| match &event.fact {
            RoomFact::ActiveTokenReleased { number, reason } => Some((*number, *reason)),
            _ => None,
        })
    }

    /// How many left the line or gave their slot back.
    pub fn gone(&self) -> u64 {
        let departed = self.surviving().map(|event| match &event.fact {
            RoomFact::WaitingTokensDeparted { ranges, .. } => ranges.count(),
            _ => 0,
        });
        departed.sum::<u64>() + self.releases().count() as u64
    }

    /// No `seq` is missing, from 1 on; a room that was made anew leaves some out, and says so.
    pub fn is_gapless(&self) {
        let mut expected = 1;
        for (seq, event) in &self.events {
            let rebuilt = matches!(event.fact, RoomFact::RoomRebuilt { .. });
            assert!(*seq == expected || rebuilt, "after seq {} comes {event:?}", expected - 1);
            expected = seq + 1;
        }
        assert!(expected > 1, "Kafka tells nothing of the room");
    }

    /// In each topic an event that is told for the first time follows all that were told before it.
    pub fn is_in_order(&self) {
        for (topic, events) in &self.topics {
            let (mut seen, mut last) = (BTreeSet::new(), 0);
            for event in events {
                if seen.insert(event.seq) {
                    assert!(event.seq > last, "{topic:?} has seq {} behind {last}: {event:?}", event.seq);
                    last = event.seq;
                }
            }
        }
    }

    /// Nobody was called or ended twice, nobody's turn ended who had none, and nobody was called after leaving.
    pub fn nobody_ended_twice(&self) {
        let mut inside = BTreeSet::new();
        let mut ended = BTreeSet::new();
        for event in self.surviving() {
            match &event.fact {
                RoomFact::ActiveTokensIssued { ranges, .. } => {
                    for number in ranges.numbers() {
                        assert!(!ended.contains(&number), "{number} was called after its end: {event:?}");
                        assert!(inside.insert(number), "{number} was called twice: {event:?}");
                    }
                }
                RoomFact::ActiveTokenReleased { number, .. } => {
                    assert!(inside.remove(number), "{number} ended and was not inside: {event:?}");
                    ended.insert(*number);
                }
                RoomFact::WaitingTokensDeparted { ranges, .. } => {
                    for number in ranges.numbers() {
                        assert!(!inside.contains(&number), "{number} is inside and left the line: {event:?}");
                        assert!(ended.insert(number), "{number} left after its end: {event:?}");
                    }
                }
                _ => {}
            }
        }
    }

    /// Whoever paid has given the slot back, by paying.
    pub fn every_payment_freed_its_slot(&self) {
        let freed: BTreeMap<u64, EndReason> = self.releases().collect();
        for number in &self.paid {
            assert_eq!(freed.get(number), Some(&EndReason::Paid), "{number} has paid");
        }
    }

    /// No event of the room leaves more inside than the capacity.
    pub fn never_more_inside_than(&self, capacity: usize) {
        let mut inside = 0;
        for event in self.surviving() {
            match &event.fact {
                RoomFact::ActiveTokensIssued { ranges, .. } => inside += ranges.count() as usize,
                RoomFact::ActiveTokenReleased { .. } => inside -= 1,
                _ => {}
            }
            assert!(inside <= capacity, "{inside} are inside, {capacity} may be: {event:?}");
        }
    }

    /// No number was given twice, not even by what a rebuild has passed over.
    pub fn no_number_twice(&self) {
        let mut last = 0;
        for event in self.events.values() {
            if let RoomFact::WaitingTokensIssued { first, last: through, .. } = &event.fact {
                assert!(*first > last, "numbers up to {last} were given: {event:?}");
                last = *through;
            }
        }
    }

    /// Whether the line has this number, as far as Kafka tells.
    pub fn has_joined(&self, number: u64) -> bool {
        self.surviving().any(|event| match &event.fact {
            RoomFact::WaitingTokensIssued { first, last, .. } => (*first..=*last).contains(&number),
            _ => false,
        })
    }

    /// How often the room was made anew.
    pub fn rebuilds(&self) -> usize {
        self.events.values().filter(|event| matches!(event.fact, RoomFact::RoomRebuilt { .. })).count()
    }

    /// One progress a tick, whoever tells it: two who told would be twice as many.
    pub fn progress_comes_once_a_tick(&self) {
        let progress = self.surviving().filter(|event| matches!(event.fact, RoomFact::RoomProgressed { .. }));
        let at: Vec<_> = progress.map(|event| event.at).collect();
        assert!(at.len() >= 3, "too few ticks to tell: {at:?}");
        let ticks = at[at.len() - 1].since(at[0]) / TICK_MS + 1;
        // A late tick is followed by one in time.
        let most = ticks + ticks / 4 + 1;
        assert!(at.len() as u64 <= most, "{} were told in {ticks} ticks", at.len());
    }
}
