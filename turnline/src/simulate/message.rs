//! What the system says to a visitor: channel messages, ticket states, problems.

use serde::{Deserialize, Deserializer};

/// A server message of the channel; those of a later version are passed over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    Position(Position),
    Prequeue {},
    Admitted {
        pass: String,
    },
    Expiring {},
    Ended {
        reason: Reason,
    },
    Room {
        #[allow(dead_code)]
        state: String,
    },
    Error {
        code: String,
    },
    #[serde(other)]
    Unknown,
}

/// A place in line. Every field must be there; an ETA nobody can tell may be null.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Position {
    pub position: u64,
    pub ahead: u64,
    #[allow(dead_code)]
    pub waiting: u64,
    #[allow(dead_code)]
    #[serde(deserialize_with = "present")]
    pub eta_seconds: Option<f64>,
    #[allow(dead_code)]
    #[serde(deserialize_with = "present")]
    pub eta_low_seconds: Option<f64>,
    #[allow(dead_code)]
    #[serde(deserialize_with = "present")]
    pub eta_high_seconds: Option<f64>,
}

/// Why a ticket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Paid,
    Expired,
    NoShow,
    Left,
    Revoked,
    RoomClosed,
    /// A word the contract does not have.
    #[serde(other)]
    Unheard,
}

/// The answer to joining.
#[derive(Debug, Deserialize)]
pub struct Joined {
    pub ticket: String,
    pub number: u64,
    #[serde(default)]
    pub state: String,
}

/// The answer of `tickets/me`.
#[derive(Debug, Deserialize)]
pub struct Mine {
    pub state: String,
    pub number: u64,
    #[serde(default)]
    pub poll_after_seconds: Option<f64>,
    #[serde(default)]
    pub pass: Option<String>,
    #[serde(default)]
    pub reason: Option<Reason>,
}

/// The public state of a room.
#[derive(Debug, Deserialize)]
pub struct RoomState {
    pub state: String,
    pub waiting: u64,
    pub active: u64,
    pub capacity: u64,
}

/// What of a pass is read without verifying it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct PassTimes {
    #[serde(default)]
    pub iat: Option<u64>,
    #[serde(default)]
    pub exp: Option<u64>,
}

impl PassTimes {
    pub fn of(pass: &str) -> PassTimes {
        jsonwebtoken::dangerous::insecure_decode::<PassTimes>(pass)
            .map_or(PassTimes { iat: None, exp: None }, |data| data.claims)
    }
}

/// `null` is an answer, an absent field is not.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_messages_are_read() {
        let position = r#"{"type":"position","position":3,"ahead":2,"waiting":9,"eta_seconds":4,
            "eta_low_seconds":1,"eta_high_seconds":null}"#;
        let ServerMessage::Position(read) = serde_json::from_str(position).unwrap() else {
            panic!("no position")
        };
        assert_eq!((read.position, read.ahead, read.waiting), (3, 2, 9));
        let ended = serde_json::from_str::<ServerMessage>(r#"{"type":"ended","reason":"no_show"}"#).unwrap();
        assert_eq!(ended, ServerMessage::Ended { reason: Reason::NoShow });
        let admitted = r#"{"type":"admitted","pass":"p","expires_at":"2026-01-01T00:00:00Z","go_to":null}"#;
        assert_eq!(
            serde_json::from_str::<ServerMessage>(admitted).unwrap(),
            ServerMessage::Admitted { pass: "p".into() }
        );
    }

    #[test]
    fn a_position_without_one_of_its_fields_is_refused() {
        let short =
            r#"{"type":"position","position":3,"ahead":2,"waiting":9,"eta_seconds":4,"eta_low_seconds":1}"#;
        assert!(serde_json::from_str::<ServerMessage>(short).is_err());
    }

    #[test]
    fn later_words_do_not_break_the_reader() {
        let later = serde_json::from_str::<ServerMessage>(r#"{"type":"weather","is":"fine"}"#).unwrap();
        assert_eq!(later, ServerMessage::Unknown);
        let odd = serde_json::from_str::<ServerMessage>(r#"{"type":"ended","reason":"bored"}"#).unwrap();
        assert_eq!(odd, ServerMessage::Ended { reason: Reason::Unheard });
    }

    #[test]
    fn times_are_read_from_a_pass_and_nothing_from_rubbish() {
        // {"alg":"EdDSA"} . {"iat":100,"exp":400}
        let pass = "eyJhbGciOiJFZERTQSJ9.eyJpYXQiOjEwMCwiZXhwIjo0MDB9.AAAA";
        assert_eq!(PassTimes::of(pass), PassTimes { iat: Some(100), exp: Some(400) });
        assert_eq!(PassTimes::of("rubbish"), PassTimes { iat: None, exp: None });
    }
}
