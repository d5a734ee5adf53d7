//! What can be sold: a concert of one room, its performances, their seats. Fixed once added.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::reservation::money::{Currency, PRICE_MAX};
use crate::words::{Digest, RoomId, Timestamp};

pub const PERFORMANCES_MAX: usize = 100;
pub const SEATS_MAX: usize = 100_000;
const TITLE_CHARS_MAX: usize = 200;
const LABEL_CHARS_MAX: usize = 40;
const SEATS_A_ROW: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concert {
    pub id: String,
    pub title: String,
    pub room: RoomId,
    pub currency: Currency,
    pub performances: Vec<Performance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performance {
    pub performance_id: String,
    pub starts_at: Timestamp,
    pub seats: Vec<Seat>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Unique within its performance.
    pub seat_id: String,
    pub label: String,
    pub amount_minor: i64,
}

/// Which field is wrong, and what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {wants}")]
pub struct BadConcert {
    pub field: &'static str,
    pub wants: &'static str,
}

impl Concert {
    /// Checks every field; a concert that passes can be added.
    pub fn check(&self) -> Result<(), BadConcert> {
        let wrong = |field, wants| Err(BadConcert { field, wants });
        if !is_id(&self.id) {
            return wrong("id", "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit");
        }
        if !is_text(&self.title, TITLE_CHARS_MAX) {
            return wrong("title", "1 to 200 characters, none of them a control character");
        }
        if !(1..=PERFORMANCES_MAX).contains(&self.performances.len()) {
            return wrong("performances", "1 to 100 performances");
        }
        let seats: usize = self.performances.iter().map(|performance| performance.seats.len()).sum();
        if seats > SEATS_MAX {
            return wrong("seats", "at most 100,000 seats in all");
        }
        let mut ids = HashSet::new();
        for performance in &self.performances {
            if !is_id(&performance.performance_id) || !ids.insert(performance.performance_id.as_str()) {
                return wrong(
                    "performance_id",
                    "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit, and none twice",
                );
            }
            check_seats(&performance.seats)?;
        }
        Ok(())
    }

    /// Two concerts of one definition are the same.
    pub fn definition(&self) -> Digest {
        let mut parts: Vec<Vec<u8>> = [&self.id, &self.title, self.room.as_str(), self.currency.as_str()]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        for performance in &self.performances {
            parts.push(performance.performance_id.clone().into_bytes());
            parts.push(performance.starts_at.as_millis().to_be_bytes().to_vec());
            parts.push(performance.seats.len().to_be_bytes().to_vec());
            for seat in &performance.seats {
                parts.push(seat.seat_id.clone().into_bytes());
                parts.push(seat.label.clone().into_bytes());
                parts.push(seat.amount_minor.to_be_bytes().to_vec());
            }
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Digest::of(&parts)
    }
}

/// `count` seats of one price in rows of twenty: A1 to A20, B1 and so on.
pub fn rows_of_seats(count: usize, amount_minor: i64) -> Vec<Seat> {
    (0..count)
        .map(|at| {
            let label = format!("{}{}", row_name(at / SEATS_A_ROW), at % SEATS_A_ROW + 1);
            Seat { seat_id: label.clone(), label, amount_minor }
        })
        .collect()
}

/// A to Z, AA to ZZ, AAA and so on, as spreadsheets name their columns.
fn row_name(mut row: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push((b'A' + (row % 26) as u8) as char);
        if row < 26 {
            break;
        }
        row = row / 26 - 1;
    }
    letters.iter().rev().collect()
}

fn check_seats(seats: &[Seat]) -> Result<(), BadConcert> {
    let wrong = |field, wants| Err(BadConcert { field, wants });
    if seats.is_empty() {
        return wrong("seats", "at least one seat a performance");
    }
    let mut ids = HashSet::new();
    for seat in seats {
        if !is_id(&seat.seat_id) || !ids.insert(seat.seat_id.as_str()) {
            return wrong("seat_id", "1 to 64 of A-Z a-z 0-9 . _ -, and none twice in a performance");
        }
        if !is_text(&seat.label, LABEL_CHARS_MAX) {
            return wrong("label", "1 to 40 characters, none of them a control character");
        }
        if !(1..=PRICE_MAX).contains(&seat.amount_minor) {
            return wrong("amount_minor", "1 to 100,000,000 minor units");
        }
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
}

fn is_text(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Concert);

    fn concert() -> Concert {
        Concert {
            id: "demo".into(),
            title: "Demo".into(),
            room: RoomId::parse("demo").unwrap(),
            currency: Currency::DEFAULT,
            performances: vec![Performance {
                performance_id: "demo-1".into(),
                starts_at: Timestamp::from_millis(0),
                seats: rows_of_seats(45, 5_000),
            }],
        }
    }

    #[test]
    fn seats_stand_in_rows_of_twenty() {
        let labels: Vec<_> = rows_of_seats(41, 1).into_iter().map(|seat| seat.label).collect();
        assert_eq!((labels[0].as_str(), labels[19].as_str()), ("A1", "A20"));
        assert_eq!((labels[20].as_str(), labels[40].as_str()), ("B1", "C1"));
        assert_eq!((row_name(25), row_name(26), row_name(702)), ("Z".into(), "AA".into(), "AAA".into()));
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(concert().check(), Ok(()));
        let wrong: &[(&str, Spoil)] = &[
            ("id", |c| c.id = "a b".into()),
            ("id", |c| c.id = String::new()),
            ("title", |c| c.title = " ".into()),
            ("title", |c| c.title = "x".repeat(201)),
            ("performances", |c| c.performances.clear()),
            ("performance_id", |c| c.performances.push(c.performances[0].clone())),
            ("seats", |c| c.performances[0].seats.clear()),
            ("seats", |c| c.performances[0].seats = rows_of_seats(100_001, 1)),
            ("seat_id", |c| c.performances[0].seats[1].seat_id = "A1".into()),
            ("label", |c| c.performances[0].seats[1].label = "\n".into()),
            ("amount_minor", |c| c.performances[0].seats[1].amount_minor = 0),
            ("amount_minor", |c| c.performances[0].seats[1].amount_minor = i64::MAX),
        ];
        for (field, spoil) in wrong {
            let mut bad = concert();
            spoil(&mut bad);
            assert_eq!(bad.check().map_err(|bad| bad.field), Err(*field));
        }
    }

    #[test]
    fn another_definition_has_another_digest() {
        let mut other = concert();
        other.performances[0].seats[3].amount_minor += 1;
        assert_ne!(other.definition(), concert().definition());
        assert_eq!(concert().definition(), concert().definition());
    }
}
