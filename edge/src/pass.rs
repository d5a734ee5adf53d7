//! The pass of an admitted visitor, as every service hands it out.

use kernel::pass::{Pass, PassKey};
use kernel::ports::RoomRecord;
use kernel::session::{Session, Terms};
use kernel::ticket::{Ticket, TicketKey};
use kernel::words::Timestamp;

use crate::problem::Problem;

/// A pass, and when it ends.
pub struct Issued {
    pub pass: String,
    pub expires_at: Timestamp,
}

/// A pass for as long as the session lasts. One that is not claimed yet lasts as if it were claimed now:
/// its time starts at the claim, which is later, so the pass never outlives it.
pub fn issue(
    tickets: &TicketKey,
    passes: &PassKey,
    record: &RoomRecord,
    ticket: &Ticket,
    session: Session,
    terms: Terms,
    now: Timestamp,
) -> Result<Issued, Problem> {
    let expires_at = match session {
        Session::Active { expires_at, .. } => expires_at,
        Session::Called { .. } => now.plus_seconds(terms.active_seconds),
    };
    let sub = tickets.subject(&record.birth, ticket);
    let claims = Pass::new(&record.birth.room, sub, ticket.number, now, expires_at);
    let pass = passes.sign(&claims).ok_or_else(Problem::unavailable)?;
    Ok(Issued { pass, expires_at })
}
