//! Money: whole minor units of one currency a room; a balance is the sum of its ledger.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::words::BadWord;

/// The largest charge, in minor units.
pub const CHARGE_MAX: i64 = 100_000_000;
/// The largest price of a seat, in minor units.
pub const PRICE_MAX: i64 = 100_000_000;
/// The largest balance, in minor units: far below what arithmetic or a JSON number could not hold.
pub const BALANCE_MAX: i64 = 1_000_000_000_000;

/// An ISO 4217 code: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency of a room that sells nothing yet.
    pub const DEFAULT: Self = Self(*b"EUR");

    pub fn parse(text: &str) -> Result<Self, BadWord> {
        match text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|letter| letter.is_ascii_uppercase()) => Ok(Self([*a, *b, *c])),
            _ => Err(BadWord("a currency is three capital letters of ISO 4217, such as EUR")),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("EUR")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// Why a ledger entry is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    Charge,
    Payment,
    Refund,
}

impl EntryKind {
    pub const ALL: [Self; 3] = [Self::Charge, Self::Payment, Self::Refund];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Payment => "payment",
            Self::Refund => "refund",
        }
    }
}

/// Whether an amount may be charged at all.
pub fn chargeable(amount_minor: i64) -> Result<(), BadWord> {
    if (1..=CHARGE_MAX).contains(&amount_minor) {
        Ok(())
    } else {
        Err(BadWord("a charge is 1 to 100,000,000 minor units"))
    }
}

/// The balance after a charge; `None` when it would grow beyond [`BALANCE_MAX`].
pub fn charged(balance: i64, amount_minor: i64) -> Option<i64> {
    balance.checked_add(amount_minor).filter(|after| *after <= BALANCE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_three_capital_letters() {
        assert_eq!(Currency::parse("CHF").unwrap().as_str(), "CHF");
        for wrong in ["", "eur", "EURO", "E1R", "€"] {
            assert!(Currency::parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn charges_are_positive_and_bounded() {
        for wrong in [0, -1, CHARGE_MAX + 1, i64::MIN, i64::MAX] {
            assert!(chargeable(wrong).is_err(), "{wrong} was taken");
        }
        assert!(chargeable(1).is_ok() && chargeable(CHARGE_MAX).is_ok());
        assert_eq!(charged(BALANCE_MAX - 1, 1), Some(BALANCE_MAX));
        assert_eq!(charged(BALANCE_MAX, 1), None);
        assert_eq!(charged(i64::MAX, i64::MAX), None);
    }
}
