//! The channel's messages as JSON: one object each, `type` first.

use kernel::control::Control;
use kernel::outflow::{Eta, eta};
use kernel::words::{EndReason, Timestamp};
use serde::{Deserialize, Serialize};

use crate::view::View;

/// A client message is never longer than this, in bytes.
pub const CLIENT_BYTES_MAX: usize = 4096;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// On connect and whenever a field changed, at most once a tick.
    Position {
        position: u64,
        ahead: u64,
        waiting: u64,
        eta_seconds: Option<u64>,
        eta_low_seconds: Option<u64>,
        eta_high_seconds: Option<u64>,
    },
    /// Before the opening.
    Prequeue {
        #[schema(value_type = Option<String>)]
        opens_at: Option<Timestamp>,
        waiting: u64,
    },
    /// It is your turn: the pass, until when, and where to go.
    Admitted {
        pass: &'a str,
        #[schema(value_type = String)]
        expires_at: Timestamp,
        go_to: Option<&'a str>,
    },
    /// The active time is nearly over.
    Expiring { seconds: u64 },
    /// The ticket ended; the channel closes.
    Ended {
        #[schema(value_type = String)]
        reason: EndReason,
    },
    /// The room changed its state or its notice.
    Room {
        #[schema(value_type = String)]
        state: Control,
        #[serde(skip_serializing_if = "Option::is_none")]
        notice: Option<&'a str>,
    },
    /// Before a close.
    Error { code: &'a str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage {
    Leave,
    Renew,
}

impl ServerMessage<'_> {
    pub fn to_json(&self) -> String {
        // Nothing in it can fail to be written: no maps, no foreign types.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<View> for ServerMessage<'static> {
    fn from(view: View) -> Self {
        match view {
            View::Prequeue { opens_at, waiting } => Self::Prequeue { opens_at, waiting },
            View::Waiting { position, waiting, per_hour } => {
                let Eta { eta_seconds, eta_low_seconds, eta_high_seconds } = eta(position, per_hour);
                let ahead = position.saturating_sub(1);
                Self::Position { position, ahead, waiting, eta_seconds, eta_low_seconds, eta_high_seconds }
            }
        }
    }
}

impl ClientMessage {
    /// `None` for anything that is not exactly one of the messages a visitor may send.
    pub fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Envelope {
            r#type: ClientMessage,
        }
        // A struct may also be read from a list of its fields; a message is an object.
        let object = text.trim_start().starts_with('{');
        serde_json::from_str::<Envelope>(text).ok().filter(|_| object).map(|envelope| envelope.r#type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_contracts_form() {
        let golden = [
            (
                ServerMessage::from(View::Waiting { position: 3, waiting: 9, per_hour: 60 }),
                r#"{"type":"position","position":3,"ahead":2,"waiting":9,"eta_seconds":180,"eta_low_seconds":75,"eta_high_seconds":450}"#,
            ),
            (
                ServerMessage::from(View::Waiting { position: 3, waiting: 9, per_hour: 0 }),
                r#"{"type":"position","position":3,"ahead":2,"waiting":9,"eta_seconds":null,"eta_low_seconds":null,"eta_high_seconds":null}"#,
            ),
            (
                ServerMessage::Prequeue { opens_at: Some(Timestamp::from_millis(0)), waiting: 2 },
                r#"{"type":"prequeue","opens_at":"1970-01-01T00:00:00Z","waiting":2}"#,
            ),
            (
                ServerMessage::Admitted {
                    pass: "p",
                    expires_at: Timestamp::from_millis(1),
                    go_to: Some("/x"),
                },
                r#"{"type":"admitted","pass":"p","expires_at":"1970-01-01T00:00:00.001Z","go_to":"/x"}"#,
            ),
            (ServerMessage::Expiring { seconds: 9 }, r#"{"type":"expiring","seconds":9}"#),
            (ServerMessage::Ended { reason: EndReason::NoShow }, r#"{"type":"ended","reason":"no_show"}"#),
            (
                ServerMessage::Room { state: Control::Paused, notice: None },
                r#"{"type":"room","state":"paused"}"#,
            ),
            (
                ServerMessage::Room { state: Control::Open, notice: Some("a \"b\"") },
                r#"{"type":"room","state":"open","notice":"a \"b\""}"#,
            ),
            (
                ServerMessage::Error { code: "unknown_message" },
                r#"{"type":"error","code":"unknown_message"}"#,
            ),
        ];
        for (message, text) in golden {
            assert_eq!(message.to_json(), text);
        }
    }

    #[test]
    fn only_two_messages_are_taken() {
        assert_eq!(ClientMessage::parse(r#"{"type":"leave"}"#), Some(ClientMessage::Leave));
        assert_eq!(ClientMessage::parse(r#" { "type" : "renew" } "#), Some(ClientMessage::Renew));
        for wrong in [
            "",
            "leave",
            "{}",
            "[]",
            "null",
            "\"leave\"",
            "[\"leave\"]",
            r#"{"type":"Leave"}"#,
            r#"{"type":["leave"]}"#,
            r#"{"type":"admitted"}"#,
            r#"{"type":"leave","why":"x"}"#,
            r#"{"type":"leave","type":"leave"}"#,
            r#"{"type":"leave"} {}"#,
        ] {
            assert_eq!(ClientMessage::parse(wrong), None, "{wrong}");
        }
    }
}
