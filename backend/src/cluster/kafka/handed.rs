//! What a consumer handed out, in that order, until it is committed.

use std::collections::{HashMap, VecDeque};

use kernel::event::Topic;
use kernel::ports::Place;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::settings::Config;

#[derive(Default)]
pub(super) struct Handed {
    given: VecDeque<Given>,
    count: u64,
}

struct Given {
    order: u64,
    topic: Topic,
    place: Place,
    /// Nobody has to say so: it was set aside.
    done: bool,
}

impl Handed {
    /// Notes one more; what is returned grows with each.
    pub fn given(&mut self, topic: Topic, place: Place, done: bool) -> u64 {
        self.count += 1;
        self.given.push_back(Given { order: self.count, topic, place, done });
        self.count
    }

    /// A partition went elsewhere: nothing of it can be committed any more.
    pub fn forget(&mut self, topic: Topic, partition: u32) {
        self.given.retain(|given| given.topic != topic || given.place.partition != partition);
    }

    /// The last one, if there are any and all are done without anybody saying so.
    pub fn done_through(&self) -> Option<u64> {
        self.given.iter().all(|given| given.done).then(|| self.given.back().map(|last| last.order)).flatten()
    }

    /// Where each partition is to be read on when everything up to `order` is done.
    pub fn offsets(&self, order: u64, config: &Config) -> KafkaResult<TopicPartitionList> {
        let mut last: HashMap<(Topic, u32), u64> = HashMap::new();
        for given in self.given.iter().take_while(|given| given.order <= order) {
            // A record that was delivered twice must not set its partition back.
            let offset = last.entry((given.topic, given.place.partition)).or_default();
            *offset = (*offset).max(given.place.offset);
        }
        let mut offsets = TopicPartitionList::with_capacity(last.len());
        for ((topic, partition), offset) in last {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            let next = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX).saturating_add(1));
            offsets.add_partition_offset(&config.topic(topic), partition, next)?;
        }
        Ok(offsets)
    }

    /// Everything up to `order` is committed.
    pub fn settled(&mut self, order: u64) {
        while self.given.front().is_some_and(|given| given.order <= order) {
            self.given.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u32, offset: u64) -> Place {
        Place { partition, offset }
    }

    fn offsets(handed: &Handed, order: u64) -> Vec<(String, i32, Offset)> {
        let list = handed.offsets(order, &Config::new("", "", "")).unwrap();
        let mut all: Vec<_> = list
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition(), element.offset()))
            .collect();
        all.sort_by_key(|(topic, partition, _)| (topic.clone(), *partition));
        all
    }

    #[test]
    fn a_commit_takes_everything_up_to_it_and_nothing_behind() {
        let mut handed = Handed::default();
        handed.given(Topic::Payments, at(0, 7), false);
        let second = handed.given(Topic::Payments, at(1, 3), false);
        handed.given(Topic::Payments, at(0, 8), false);
        let payments = || "turnline.payments".to_owned();
        assert_eq!(
            offsets(&handed, second),
            [(payments(), 0, Offset::Offset(8)), (payments(), 1, Offset::Offset(4))]
        );
        handed.settled(second);
        assert_eq!(offsets(&handed, 9), [(payments(), 0, Offset::Offset(9))]);
    }

    #[test]
    fn what_went_elsewhere_is_not_committed() {
        let mut handed = Handed::default();
        handed.given(Topic::Payments, at(0, 7), false);
        let last = handed.given(Topic::Payments, at(1, 3), false);
        handed.forget(Topic::Payments, 1);
        assert_eq!(offsets(&handed, last), [("turnline.payments".to_owned(), 0, Offset::Offset(8))]);
    }

    #[test]
    fn what_was_set_aside_alone_needs_nobody_to_say_that_it_is_done() {
        let mut handed = Handed::default();
        assert_eq!(handed.done_through(), None);
        let bad = handed.given(Topic::Payments, at(0, 7), true);
        assert_eq!(handed.done_through(), Some(bad));
        handed.given(Topic::Payments, at(0, 8), false);
        assert_eq!(handed.done_through(), None);
    }
}
