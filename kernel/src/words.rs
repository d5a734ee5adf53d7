//! The words every crate shares: rooms, numbers, times, reasons, ranges.
//! One word a thing (see GLOSSARY.md); each type refuses what it cannot mean.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A room's name: 1 to 64 of `a-z 0-9 _ -`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

impl RoomId {
    pub fn parse(text: &str) -> Result<Self, BadWord> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts && text.len() <= 64 && text.chars().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadWord("a room is 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A lane's name: 1 to 32 of `a-z 0-9 _ -`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneName(Arc<str>);

impl LaneName {
    /// The lane of everybody who was granted no other.
    pub const DEFAULT: &'static str = "default";

    pub fn parse(text: &str) -> Result<Self, BadWord> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if (1..=32).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadWord("a lane is 1 to 32 of a-z 0-9 _ -"))
        }
    }

    pub fn default_lane() -> Self {
        // Every join names it: one text for all.
        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| LaneName::DEFAULT.into());
        Self(NAME.clone())
    }

    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a word was refused, in plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadWord(pub &'static str);

macro_rules! text_word {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}
text_word!(RoomId);
text_word!(LaneName);

/// The order of arrival in a room, from 1; never used twice.
pub type Number = u64;

/// Milliseconds since 1970-01-01T00:00:00Z; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The largest time that RFC 3339 can write (the end of the year 9999).
    pub const MAX: Self = Self(253_402_300_799_999);

    pub const fn from_millis(ms: u64) -> Self {
        if ms > Self::MAX.0 { Self::MAX } else { Self(ms) }
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds, as JWT claims have them.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self::from_millis(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    pub const fn plus_millis(self, ms: u64) -> Self {
        Self::from_millis(self.0.saturating_add(ms))
    }

    pub const fn minus_millis(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` to this; 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub fn parse(text: &str) -> Result<Self, BadWord> {
        const WRONG: BadWord = BadWord("a time is RFC 3339, such as 2030-01-31T18:00:00Z");
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| WRONG)?;
        let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|_| WRONG)?;
        Ok(Self::from_millis(ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("9999-12-31T23:59:59.999Z"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            Self::parse(&text).map_err(de::Error::custom)
        } else {
            u64::deserialize(from).map(Self::from_millis)
        }
    }
}

/// Why a ticket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    Paid,
    Expired,
    NoShow,
    Left,
    Revoked,
    RoomClosed,
}

impl EndReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Expired => "expired",
            Self::NoShow => "no_show",
            Self::Left => "left",
            Self::Revoked => "revoked",
            Self::RoomClosed => "room_closed",
        }
    }
}

/// Bytes in hexadecimal, as everything published of a lottery is written.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 128 bits of a SHA-256: stands for a visitor or an idempotency key without telling it. Hex in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Hashes `parts`, each preceded by its length, so that no two lists of parts collide by joining.
    pub fn of(parts: &[&[u8]]) -> Self {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        Self(short)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return <[u8; 16]>::deserialize(from).map(Self);
        }
        let text = String::deserialize(from)?;
        let wrong = || de::Error::custom("a digest is 32 hex digits");
        if text.len() != 32 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 16];
        for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// Numbers as inclusive runs, `[[1,5],[7,7]]` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Ranges(Vec<[Number; 2]>);

impl<'de> Deserialize<'de> for Ranges {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let runs = Vec::<[Number; 2]>::deserialize(from)?;
        let backwards = runs.iter().any(|[first, last]| first > last);
        if backwards {
            Err(de::Error::custom("a run of numbers ends before it begins"))
        } else {
            Ok(Self(runs))
        }
    }
}

impl Ranges {
    pub fn one(number: Number) -> Self {
        Self(vec![[number, number]])
    }

    /// Appends a number; one that follows the last run lengthens it.
    pub fn push(&mut self, number: Number) {
        match self.0.last_mut() {
            Some([_, last]) if *last + 1 == number => *last = number,
            _ => self.0.push([number, number]),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers, not how many runs.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|[first, last]| last - first + 1).sum()
    }

    pub fn runs(&self) -> &[[Number; 2]] {
        &self.0
    }

    pub fn numbers(&self) -> impl Iterator<Item = Number> + '_ {
        self.0.iter().flat_map(|[first, last]| *first..=*last)
    }

    /// Splits into pieces of at most `runs` runs, so that no event outgrows a message.
    pub fn chunks(&self, runs: usize) -> impl Iterator<Item = Ranges> + '_ {
        self.0.chunks(runs.max(1)).map(|piece| Self(piece.to_vec()))
    }
}

impl FromIterator<Number> for Ranges {
    fn from_iter<I: IntoIterator<Item = Number>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        numbers.into_iter().for_each(|number| ranges.push(number));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_json() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
        assert_eq!(
            Timestamp::parse("1960-01-01T00:00:00Z"),
            Err(BadWord("a time is RFC 3339, such as 2030-01-31T18:00:00Z"))
        );
    }

    #[test]
    fn the_last_time_can_be_written() {
        let text = serde_json::to_string(&Timestamp::MAX).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.plus_seconds(u64::MAX), Timestamp::MAX);
    }

    #[test]
    fn ranges_run_together() {
        let ranges: Ranges = [1, 2, 3, 7, 9, 10].into_iter().collect();
        assert_eq!(ranges.runs(), &[[1, 3], [7, 7], [9, 10]]);
        assert_eq!(ranges.count(), 6);
        assert_eq!(ranges.chunks(2).map(|r| r.count()).collect::<Vec<_>>(), vec![4, 2]);
        assert_eq!(serde_json::from_str::<Ranges>("[[1,3],[7,7],[9,10]]").unwrap(), ranges);
        assert!(serde_json::from_str::<Ranges>("[[3,1]]").is_err());
    }

    #[test]
    fn rooms_are_refused_that_do_not_fit_a_path() {
        for wrong in ["", "A", "a/b", "-a", "ä", &"a".repeat(65)] {
            assert!(RoomId::parse(wrong).is_err(), "{wrong:?} was taken");
        }
        assert_eq!(RoomId::parse("summer-2030_a").unwrap().as_str(), "summer-2030_a");
    }

    #[test]
    fn digests_of_other_parts_differ() {
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
        let digest = Digest::of(&[b"x"]);
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
    }
}
