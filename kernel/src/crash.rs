//! Places between two steps of a purchase at which a test may end the process, as a `kill -9` would. Only a
//! debug build ever does.

use std::sync::OnceLock;

use crate::reservation::decide::Change;
use crate::reservation::{EntryKind, Payment};

static ARMED: OnceLock<CrashPoint> = OnceLock::new();

/// In the order in which a purchase, and then its cancelling, passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// A hold is written, and not committed.
    HoldWritten,
    /// It is committed, and its visitor not answered.
    HoldKept,
    /// Money, seat, slot and letters are written, and not committed.
    PaymentWritten,
    PaymentKept,
    /// What is to be told was read from the outbox.
    OutboxRead,
    /// The log has it, and the outbox does not know.
    OutboxTold,
    OutboxMarked,
    /// The admission heard of the payment, and has not freed the slot.
    PaymentHeard,
    /// The slot is free, and the log does not know that this was handled.
    SlotFreed,
    /// The shop has kept what it heard of a slot, and the log does not know.
    InboxKept,
    /// What was kept is done, and not marked as done.
    InboxWorked,
    InboxMarked,
    /// A cancellation is asked for in the tables, and not committed.
    CancelWritten,
    CancelKept,
    /// The compensation was heard of, and nothing done.
    CancelHeard,
    /// Money, seat and letters are written, and not committed.
    RefundWritten,
    RefundKept,
}

impl CrashPoint {
    pub const ALL: [Self; 17] = [
        Self::HoldWritten,
        Self::HoldKept,
        Self::PaymentWritten,
        Self::PaymentKept,
        Self::OutboxRead,
        Self::OutboxTold,
        Self::OutboxMarked,
        Self::PaymentHeard,
        Self::SlotFreed,
        Self::InboxKept,
        Self::InboxWorked,
        Self::InboxMarked,
        Self::CancelWritten,
        Self::CancelKept,
        Self::CancelHeard,
        Self::RefundWritten,
        Self::RefundKept,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| format!("{point:?}") == text)
    }
}

/// From now on the process ends at this point, if it is a debug build; one that was armed before stays as it is.
pub fn arm(point: CrashPoint) {
    let _ = ARMED.set(point);
}

/// A change was written that is not committed yet: in the middle of its transaction.
pub fn written(change: &Change) {
    let point = match change {
        Change::Held { .. } => CrashPoint::HoldWritten,
        Change::Booked { entry, .. } if entry.kind == EntryKind::Payment => CrashPoint::PaymentWritten,
        Change::Booked { entry, .. } if entry.kind == EntryKind::Refund => CrashPoint::RefundWritten,
        Change::PaymentMoved { payment: Payment::Cancelling, .. } => CrashPoint::CancelWritten,
        Change::Moved { .. }
        | Change::Paid { .. }
        | Change::PaymentMoved { .. }
        | Change::Booked { .. }
        | Change::SlotEnded { .. }
        | Change::Told(_) => return,
    };
    passing(point);
}

/// Ends the process here if it was armed to.
pub fn passing(point: CrashPoint) {
    if cfg!(debug_assertions) && ARMED.get() == Some(&point) {
        std::process::abort();
    }
}
