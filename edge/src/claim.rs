//! Moving a session: read it, let the kernel decide, swap it; again when somebody was faster.

use kernel::ports::{RoomStore, StoreError};
use kernel::room::{Standing, Swapped};
use kernel::session::{Input, Next, Refusal, Session, Terms, step};
use kernel::words::{EndReason, Number, RoomId, Timestamp};

/// How often a lost race is run again; each loss means that somebody else moved the session.
const ATTEMPTS: usize = 8;

/// The visitor was heard of. Answers the session as it stands then; `None` when it is over.
pub async fn claim(
    store: &dyn RoomStore,
    room: &RoomId,
    number: Number,
    session: Session,
    terms: Terms,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    advance(store, room, number, session, Input::Claim, terms, now).await
}

/// The visitor asks for more time. Answers the session as it stands then; `None` when it is over.
pub async fn renew(
    store: &dyn RoomStore,
    room: &RoomId,
    number: Number,
    session: Session,
    terms: Terms,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    advance(store, room, number, session, Input::Renew, terms, now).await
}

/// Ends a session, if there is one; true when this call ended it.
pub async fn end(
    store: &dyn RoomStore,
    room: &RoomId,
    number: Number,
    reason: EndReason,
    now: Timestamp,
) -> Result<bool, StoreError> {
    for _ in 0..ATTEMPTS {
        let Standing::Session(session) = store.seen(room, number).await?.standing else { return Ok(false) };
        match store.swap_session(room, number, session, Next::Ended(reason), now).await? {
            Swapped::Done => return Ok(true),
            Swapped::Other(_) => {}
        }
    }
    Err(StoreError::Unavailable("a session kept changing under us".to_owned()))
}

async fn advance(
    store: &dyn RoomStore,
    room: &RoomId,
    number: Number,
    mut session: Session,
    input: Input,
    terms: Terms,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    for _ in 0..ATTEMPTS {
        let next = match step(session, input, terms, now) {
            Ok(next) => next,
            Err(Refusal::TooLate) => return Ok(None),
        };
        let after = match next {
            Next::Same => return Ok(Some(session)),
            Next::Claimed(after) | Next::Renewed(after) => after,
            Next::Ended(_) => return Ok(None),
        };
        match store.swap_session(room, number, session, next, now).await? {
            Swapped::Done => return Ok(Some(after)),
            Swapped::Other(Some(other)) => session = other,
            Swapped::Other(None) => return Ok(None),
        }
    }
    Err(StoreError::Unavailable("a session kept changing under us".to_owned()))
}
