//! Seeded chance for what a visitor does, and unseeded bytes for keys that must never repeat.

use std::fmt::Write;
use std::time::Duration;

/// A small seeded generator (SplitMix64): the same seed gives the same run plan.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A generator of its own for one visitor, whatever order the visitors run in.
    pub fn of_visitor(seed: u64, index: usize) -> Chance {
        let mut chance = Chance(seed ^ (index as u64).wrapping_mul(0xA24B_AED4_963E_E407));
        chance.next();
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An index below `len`; 0 when `len` is 0.
    pub fn below(&mut self, len: usize) -> usize {
        if len == 0 { 0 } else { (self.next() % len as u64) as usize }
    }

    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.unit())
    }
}

/// 16 random bytes in hexadecimal, for an `Idempotency-Key`.
///
/// Never from the seed: two runs with one seed would otherwise share their places.
///
/// # Errors
/// When the machine has no random source.
pub fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no random source: {e}"))?;
    let mut key = String::with_capacity(32);
    for byte in bytes {
        write!(key, "{byte:02x}")?;
    }
    Ok(key)
}

/// A seed for a run that was given none.
///
/// # Errors
/// When the machine has no random source.
pub fn random_seed() -> anyhow::Result<u64> {
    let mut bytes = [0u8; 4];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no random source: {e}"))?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_of_one_seed_differ_but_repeat() {
        let first = |index| Chance::of_visitor(42, index).unit();
        assert_eq!(first(3), first(3));
        assert_ne!(first(3), first(4));
        let mean = (0..1000).map(first).sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "mean {mean}");
    }

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (a, b) = (random_key().unwrap(), random_key().unwrap());
        assert_eq!(a.len(), 32);
        assert_ne!(a, b);
    }
}
