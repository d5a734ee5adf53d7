//! The draw: a keyed permutation of 1..=N that stores nothing per visitor and can be checked by anyone.
//! A balanced Feistel network over SipHash-2-4 with cycle walking (J. Black, P. Rogaway, "Ciphers with
//! Arbitrary Finite Domains", 2002); 12 rounds, since small domains need more than the classic four.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher24;

use crate::words::Number;

const ROUNDS: u64 = 12;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// How many took part: the numbers 1..=frozen.
    pub frozen: Number,
    key: [u8; 32],
}

/// What the key of a draw is made of, so that nobody can choose it alone.
pub struct Ingredients<'a> {
    /// Committed to (see [`commitment`]) when the room was made.
    pub secret: &'a [u8],
    /// Root of the arrivals (see [`arrivals_root`]).
    pub list_root: [u8; 32],
    /// A public randomness beacon's value; empty where none is configured.
    pub beacon: &'a [u8],
}

/// SHA-256 of the secret: published when the room is made.
pub fn commitment(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Merkle root over the arrivals' leaves in order (RFC 6962 hashing: 0x00 before a leaf, 0x01 before a
/// pair). A node without a partner moves up as it is. All zero for nobody.
pub fn arrivals_root(leaves: impl Iterator<Item = [u8; 16]>) -> [u8; 32] {
    let mut arrivals = Arrivals::default();
    leaves.for_each(|leaf| arrivals.push(leaf));
    arrivals.root()
}

/// The same root, grown arrival by arrival: whoever comes while it is computed costs only themselves.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    count: u64,
    /// Roots of the perfect trees that `count` consists of, the largest first.
    peaks: Vec<[u8; 32]>,
}

impl Arrivals {
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn push(&mut self, leaf: [u8; 16]) {
        let mut node = hash(&[&[0], &leaf]);
        let mut trees = self.count;
        while trees & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            node = hash(&[&[1], &left, &node]);
            trees >>= 1;
        }
        self.peaks.push(node);
        self.count += 1;
    }

    pub fn root(&self) -> [u8; 32] {
        let (mut peaks, nobody) = (self.peaks.iter().rev(), [0; 32]);
        let Some(smallest) = peaks.next() else { return nobody };
        peaks.fold(*smallest, |right, left| hash(&[&[1], left, &right]))
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

impl Draw {
    pub fn new(frozen: Number, ingredients: &Ingredients<'_>) -> Self {
        let key = Sha256::new()
            .chain_update(b"turnline lottery v1")
            .chain_update((ingredients.secret.len() as u64).to_be_bytes())
            .chain_update(ingredients.secret)
            .chain_update(ingredients.list_root)
            .chain_update(ingredients.beacon)
            .finalize()
            .into();
        Self { frozen, key }
    }

    /// The place in line of a number; later arrivals keep theirs.
    pub fn place(&self, number: Number) -> Number {
        self.walk(number, |value| self.encrypt(value))
    }

    /// The number that stands at a place.
    pub fn number(&self, place: Number) -> Number {
        self.walk(place, |value| self.decrypt(value))
    }

    fn walk(&self, value: Number, step: impl Fn(u64) -> u64) -> Number {
        if value == 0 || value > self.frozen {
            return value;
        }
        let mut at = step(value - 1);
        while at >= self.frozen {
            at = step(at);
        }
        at + 1
    }

    /// Bits of one half: the domain is the smallest 4^half that holds 0..frozen.
    fn half_bits(&self) -> u32 {
        let bits = 64 - (self.frozen.max(2) - 1).leading_zeros();
        bits.div_ceil(2)
    }

    fn round(&self, round: u64, half: u64, mask: u64) -> u64 {
        let mut key = [0; 16];
        key.copy_from_slice(&self.key[..16]);
        let mut hash = SipHasher24::new_with_key(&key);
        hash.write(&self.key[16..]);
        hash.write_u64(round.to_le());
        hash.write_u64(half.to_le());
        hash.finish() & mask
    }

    fn encrypt(&self, value: u64) -> u64 {
        let (bits, mask) = (self.half_bits(), (1 << self.half_bits()) - 1);
        let (mut left, mut right) = (value >> bits, value & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right, mask));
        }
        left << bits | right
    }

    fn decrypt(&self, value: u64) -> u64 {
        let (bits, mask) = (self.half_bits(), (1 << self.half_bits()) - 1);
        let (mut left, mut right) = (value >> bits, value & mask);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left, mask), left);
        }
        left << bits | right
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draw(frozen: u64, secret: &[u8]) -> Draw {
        Draw::new(frozen, &Ingredients { secret, list_root: [7; 32], beacon: b"" })
    }

    proptest! {
        #[test]
        fn every_place_is_given_once(frozen in 0..700u64, secret: [u8; 8]) {
            let draw = draw(frozen, &secret);
            let mut places: Vec<_> = (1..=frozen).map(|number| draw.place(number)).collect();
            for (number, place) in (1..=frozen).zip(&places) {
                prop_assert_eq!(draw.number(*place), number);
            }
            places.sort_unstable();
            prop_assert!(places.into_iter().eq(1..=frozen));
            prop_assert_eq!(draw.place(frozen + 1), frozen + 1);
        }
    }

    /// The root as the published check computes it: level by level.
    fn level_by_level(leaves: &[[u8; 16]]) -> [u8; 32] {
        let mut level: Vec<_> = leaves.iter().map(|leaf| hash(&[&[0], leaf])).collect();
        while level.len() > 1 {
            let up = |pair: &[[u8; 32]]| match pair {
                [left, right] => hash(&[&[1], left, right]),
                alone => alone[0],
            };
            level = level.chunks(2).map(up).collect();
        }
        level.pop().unwrap_or([0; 32])
    }

    proptest! {
        #[test]
        fn the_root_grows_as_it_is_checked(leaves in prop::collection::vec(any::<[u8; 16]>(), 0..70)) {
            prop_assert_eq!(arrivals_root(leaves.iter().copied()), level_by_level(&leaves));
        }
    }

    #[test]
    fn places_are_spread_evenly() {
        // Chi-square over where number 1 of 10 lands in 10,000 draws: 9 degrees of freedom, 0.1 % = 27.9.
        let mut counts = [0u32; 10];
        for seed in 0..10_000u32 {
            counts[(draw(10, &seed.to_be_bytes()).place(1) - 1) as usize] += 1;
        }
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 27.9, "chi-square {chi}, {counts:?}");
    }

    #[test]
    fn the_root_tells_every_leaf_and_the_order() {
        let leaves = |bytes: &[u8]| bytes.iter().map(|b| [*b; 16]).collect::<Vec<_>>();
        let root = |bytes: &[u8]| arrivals_root(leaves(bytes).into_iter());
        assert_ne!(root(&[1, 2, 3]), root(&[1, 3, 2]));
        assert_ne!(root(&[1, 2, 3]), root(&[1, 2, 3, 3]));
        assert_eq!(root(&[]), [0; 32]);
    }
}
