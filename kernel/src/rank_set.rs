//! A set of growing numbers that answers "how many before me?": about a bit a member.
//! Blocks of 512 bits, their counts in a Fenwick tree (P. Fenwick, "A New Data Structure for
//! Cumulative Frequency Tables", 1994): rank, insert and remove touch O(log(span / 512)) words,
//! walking from the front starts at the first member.

use serde::{Deserialize, Serialize};

use crate::words::Number;

const WORDS: usize = 8;
const BITS: u64 = 64 * WORDS as u64;
/// Empty blocks at the front that are kept before the set moves its base.
const SLACK_BLOCKS: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankSet {
    /// The number of the first bit; a multiple of the block size.
    base: Number,
    blocks: Vec<[u64; WORDS]>,
    /// Fenwick tree over the blocks' counts, 1-based (`tree[0]` is unused).
    tree: Vec<u32>,
    len: u64,
    /// Every block before this one is empty.
    head: usize,
}

impl RankSet {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, number: Number) -> bool {
        self.find(number).is_some_and(|(block, word, bit)| self.blocks[block][word] & bit != 0)
    }

    /// Adds every number of `first..=last`.
    pub fn insert_range(&mut self, first: Number, last: Number) {
        if first > last {
            return;
        }
        self.reach(first, last);
        let mut number = first;
        while number <= last {
            let (block, word) = self.index(number);
            let offset = number % 64;
            let take = (64 - offset).min(last - number + 1);
            let mask = (u64::MAX >> (64 - take)) << offset;
            let added = (mask & !self.blocks[block][word]).count_ones();
            self.blocks[block][word] |= mask;
            self.add(block, i64::from(added));
            self.head = self.head.min(block);
            number += take;
        }
    }

    /// Removes a number; false when it was not there.
    pub fn remove(&mut self, number: Number) -> bool {
        let Some((block, word, bit)) = self.find(number) else { return false };
        if self.blocks[block][word] & bit == 0 {
            return false;
        }
        self.blocks[block][word] &= !bit;
        self.add(block, -1);
        self.drop_empty_front();
        true
    }

    /// How many members are smaller than `number`.
    pub fn rank(&self, number: Number) -> u64 {
        if number <= self.base || self.blocks.is_empty() {
            return 0;
        }
        let (block, word) = self.index(number);
        if block >= self.blocks.len() {
            return self.len;
        }
        let words = &self.blocks[block];
        let whole: u32 = words[..word].iter().map(|w| w.count_ones()).sum();
        let part = (words[word] & !(u64::MAX << (number % 64))).count_ones();
        self.before(block) + u64::from(whole + part)
    }

    /// The members in order, from the smallest.
    pub fn iter(&self) -> impl Iterator<Item = Number> + '_ {
        self.iter_from(self.base + self.head as u64 * BITS)
    }

    /// The members that are at least `start`, in order.
    pub fn iter_from(&self, start: Number) -> impl Iterator<Item = Number> + '_ {
        let start = start.max(self.base);
        let (first_block, first_word) = self.index(start);
        let first = first_block * WORDS + first_word;
        (first..self.blocks.len() * WORDS).flat_map(move |at| {
            let mut bits = self.blocks[at / WORDS][at % WORDS];
            if at == first {
                bits &= u64::MAX << (start % 64);
            }
            let word_start = self.base + at as u64 * 64;
            std::iter::from_fn(move || {
                if bits == 0 {
                    return None;
                }
                let number = word_start + u64::from(bits.trailing_zeros());
                bits &= bits - 1;
                Some(number)
            })
        })
    }

    fn index(&self, number: Number) -> (usize, usize) {
        let offset = number - self.base;
        ((offset / BITS) as usize, (offset % BITS / 64) as usize)
    }

    fn find(&self, number: Number) -> Option<(usize, usize, u64)> {
        if number < self.base {
            return None;
        }
        let (block, word) = self.index(number);
        (block < self.blocks.len()).then(|| (block, word, 1 << (number % 64)))
    }

    /// Makes room for `first..=last`.
    fn reach(&mut self, first: Number, last: Number) {
        let floor = first - first % BITS;
        if self.len == 0 {
            *self = Self { base: floor, ..Self::default() };
        } else if floor < self.base {
            let missing = ((self.base - floor) / BITS) as usize;
            self.blocks.splice(0..0, std::iter::repeat_n([0; WORDS], missing));
            self.base = floor;
            self.head = 0;
            self.rebuild_tree();
        }
        if self.tree.is_empty() {
            self.tree.push(0);
        }
        while self.base + (self.blocks.len() as u64) * BITS <= last {
            self.blocks.push([0; WORDS]);
            // A new Fenwick node covers itself (empty) and the nodes just below it.
            let node = self.tree.len();
            let (mut child, mut sum) = (node - 1, 0);
            while child > node - lowest_bit(node) {
                sum += self.tree[child];
                child -= lowest_bit(child);
            }
            self.tree.push(sum);
        }
    }

    fn add(&mut self, block: usize, change: i64) {
        self.len = self.len.wrapping_add_signed(change);
        let mut node = block + 1;
        while node < self.tree.len() {
            self.tree[node] = self.tree[node].wrapping_add_signed(change as i32);
            node += lowest_bit(node);
        }
    }

    /// Members in the blocks before `block`.
    fn before(&self, block: usize) -> u64 {
        let (mut node, mut sum) = (block, 0);
        while node > 0 {
            sum += u64::from(self.tree[node]);
            node -= lowest_bit(node);
        }
        sum
    }

    /// Moves the base past empty blocks once they are the greater part, so the cost is O(1) a member.
    fn drop_empty_front(&mut self) {
        while self.head < self.blocks.len() && self.blocks[self.head].iter().all(|word| *word == 0) {
            self.head += 1;
        }
        if self.head > SLACK_BLOCKS && self.head * 2 > self.blocks.len() {
            self.blocks.drain(..self.head);
            self.base += self.head as u64 * BITS;
            self.head = 0;
            self.rebuild_tree();
        }
    }

    fn rebuild_tree(&mut self) {
        self.tree = vec![0; self.blocks.len() + 1];
        for (at, words) in self.blocks.iter().enumerate() {
            let node = at + 1;
            self.tree[node] += words.iter().map(|word| word.count_ones()).sum::<u32>();
            let parent = node + lowest_bit(node);
            if parent < self.tree.len() {
                self.tree[parent] += self.tree[node];
            }
        }
    }
}

fn lowest_bit(node: usize) -> usize {
    node & node.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Act {
        Append(u64),
        Insert(u64),
        Remove(u64),
        Take(u64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            (1..1500u64).prop_map(Act::Append),
            (1..40_000u64).prop_map(Act::Insert),
            (1..40_000u64).prop_map(Act::Remove),
            (0..1200u64).prop_map(Act::Take),
        ];
        prop::collection::vec(act, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_agrees_with_a_sorted_set(acts in acts()) {
            let (mut set, mut model, mut last) = (RankSet::default(), BTreeSet::new(), 0);
            for act in acts {
                match act {
                    Act::Append(count) => {
                        set.insert_range(last + 1, last + count);
                        model.extend(last + 1..=last + count);
                        last += count;
                    }
                    Act::Insert(number) => {
                        set.insert_range(number, number);
                        model.insert(number);
                        last = last.max(number);
                    }
                    Act::Remove(number) => prop_assert_eq!(set.remove(number), model.remove(&number)),
                    Act::Take(count) => {
                        let taken: Vec<_> = set.iter().take(count as usize).collect();
                        taken.iter().for_each(|number| assert!(set.remove(*number)));
                        let expected: Vec<_> = (0..count).map_while(|_| model.pop_first()).collect();
                        prop_assert_eq!(taken, expected);
                    }
                }
                prop_assert_eq!(set.len(), model.len() as u64);
                for probe in [0, 1, 511, 512, 513, 20_000, last, last + 1, last + 5000] {
                    prop_assert_eq!(set.rank(probe), model.range(..probe).count() as u64);
                    prop_assert_eq!(set.contains(probe), model.contains(&probe));
                }
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            let middle = last / 2;
            prop_assert!(set.iter_from(middle).eq(model.range(middle..).copied()));
        }
    }
}
