//! Whether a room takes visitors and lets them in: prequeue, open, paused, closed.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Before `opens_at`: numbers are given, nobody has a position.
    Prequeue,
    Open,
    /// Joins go on, admission stands still.
    Paused,
    /// No joins; waiting tickets have ended; active ones run out.
    Closed,
}

impl Control {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prequeue => "prequeue",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

/// What an operator, or the clock, may ask of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Open,
    Pause,
    Resume,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a room that is {} cannot do this; open it first", .0.as_str())]
pub struct NotNow(pub Control);

/// The state after an order; the same state when it already holds.
pub fn step(control: Control, order: Order) -> Result<Control, NotNow> {
    match (control, order) {
        (Control::Prequeue | Control::Open | Control::Paused | Control::Closed, Order::Open) => {
            Ok(Control::Open)
        }
        (Control::Prequeue | Control::Open | Control::Paused | Control::Closed, Order::Close) => {
            Ok(Control::Closed)
        }
        (Control::Open | Control::Paused, Order::Pause) => Ok(Control::Paused),
        (Control::Open | Control::Paused, Order::Resume) => Ok(Control::Open),
        (Control::Prequeue | Control::Closed, Order::Pause | Order::Resume) => Err(NotNow(control)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_idempotent_and_closed_rooms_only_open() {
        for control in [Control::Prequeue, Control::Open, Control::Paused, Control::Closed] {
            for order in [Order::Open, Order::Pause, Order::Resume, Order::Close] {
                if let Ok(after) = step(control, order) {
                    assert_eq!(step(after, order), Ok(after), "{control:?} {order:?}");
                }
            }
        }
        assert_eq!(step(Control::Closed, Order::Resume), Err(NotNow(Control::Closed)));
        assert_eq!(step(Control::Closed, Order::Open), Ok(Control::Open));
    }
}
