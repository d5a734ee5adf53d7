//! What the channel says, read for thousands of visitors on one thread: positions first.

use crate::simulate::message::{Position, Reason, ServerMessage};

/// What a message means to somebody who only waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    Position(Position),
    /// The room has not opened yet; there is no position.
    Prequeue,
    Admitted,
    Ended(Reason),
    /// Nothing about this visitor's place.
    Other,
}

const POSITION: &[u8] = br#"{"type":"position","#;

/// # Errors
/// In words, when the message cannot be read.
pub fn read(text: &[u8]) -> Result<Word, String> {
    // A tagged enum is read twice over, which doubled the cost of a push.
    if text.starts_with(POSITION) {
        return serde_json::from_slice(text).map(Word::Position).map_err(plain);
    }
    Ok(match serde_json::from_slice::<ServerMessage>(text).map_err(plain)? {
        ServerMessage::Position(position) => Word::Position(position),
        ServerMessage::Prequeue {} => Word::Prequeue,
        ServerMessage::Admitted { .. } => Word::Admitted,
        ServerMessage::Ended { reason } => Word::Ended(reason),
        ServerMessage::Expiring {}
        | ServerMessage::Room { .. }
        | ServerMessage::Error { .. }
        | ServerMessage::Unknown => Word::Other,
    })
}

fn plain(error: serde_json::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_the_same_wherever_its_type_stands() {
        let fields = r#""position":3,"ahead":2,"waiting":9,"eta_seconds":4,"eta_low_seconds":1,"eta_high_seconds":null"#;
        let (first, last) =
            (format!(r#"{{"type":"position",{fields}}}"#), format!(r#"{{{fields},"type":"position"}}"#));
        let Ok(Word::Position(position)) = read(first.as_bytes()) else { panic!("no position") };
        assert_eq!((position.position, position.ahead, position.waiting), (3, 2, 9));
        assert_eq!(read(last.as_bytes()), Ok(Word::Position(position)));
    }

    #[test]
    fn what_cannot_be_read_is_said_so_and_later_words_are_passed_over() {
        assert!(read(br#"{"type":"position","position":3}"#).is_err());
        assert!(read(b"hello").is_err());
        assert_eq!(read(br#"{"type":"weather"}"#), Ok(Word::Other));
        assert_eq!(read(br#"{"type":"ended","reason":"no_show"}"#), Ok(Word::Ended(Reason::NoShow)));
        assert_eq!(read(br#"{"type":"prequeue","opens_at":"x","waiting":1}"#), Ok(Word::Prequeue));
    }
}
