//! The shadow of a room: queues, sets and nothing clever, to compare with.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kernel::words::{EndReason, Number};

#[derive(Default)]
pub struct Shadow {
    /// Each lane's numbers in the order of being called.
    pub lanes: Vec<(String, VecDeque<Number>)>,
    pub slots: BTreeSet<Number>,
    pub ended: BTreeMap<Number, EndReason>,
    pub called: BTreeSet<Number>,
    pub issued: Number,
    /// The last position each number was told, once it had one.
    pub told: BTreeMap<Number, u64>,
}

impl Shadow {
    pub fn arrive(&mut self, lane: &str, number: Number) {
        assert_eq!(number, self.issued + 1, "numbers leave no gap and are never used twice");
        self.issued = number;
        match self.lanes.iter_mut().find(|(name, _)| name == lane) {
            Some((_, line)) => line.push_back(number),
            None => self.lanes.push((lane.to_owned(), VecDeque::from([number]))),
        }
    }

    pub fn waits(&self, number: Number) -> bool {
        self.lanes.iter().any(|(_, line)| line.contains(&number))
    }

    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(|(_, line)| line.len() as u64).sum()
    }

    pub fn holds(&self, number: Number) -> bool {
        self.slots.contains(&number) || self.waits(number)
    }

    /// Takes the front of each lane, which is whom a call has to take.
    pub fn call(&mut self, per_lane: &[u64]) -> Vec<Number> {
        let mut called = Vec::new();
        for ((_, line), count) in self.lanes.iter_mut().zip(per_lane) {
            called.extend((0..*count).map_while(|_| line.pop_front()));
        }
        for number in &called {
            assert!(self.called.insert(*number), "{number} was called twice");
            self.slots.insert(*number);
        }
        called
    }

    pub fn end(&mut self, number: Number, reason: EndReason) {
        self.lanes.iter_mut().for_each(|(_, line)| line.retain(|other| *other != number));
        self.slots.remove(&number);
        assert!(self.ended.insert(number, reason).is_none(), "{number} ended twice");
    }
}
