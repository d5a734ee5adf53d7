//! One connection's visitor: words for what the shard says, passes, and what the visitor asks for.
//! The same for a WebSocket and an event stream.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use edge::mirror::Mirror;
use edge::pass::Issued;
use kernel::ports::{RoomRecord, StoreError};
use kernel::room::Standing;
use kernel::session::{Session, Terms};
use kernel::ticket::Ticket;
use kernel::words::{EndReason, Ranges, Timestamp};

use crate::core::{Core, Place};
use crate::message::ServerMessage;
use crate::outbox::{Link, Outbox, Outgoing};
use crate::shard::Arrival;

/// How often a store that does not answer is asked again before the visitor is sent away.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

pub struct Visit {
    pub core: Arc<Core>,
    pub outbox: Arc<Outbox>,
    mirror: Arc<Mirror>,
    record: Arc<RoomRecord>,
    ticket: Ticket,
    /// The end of the active time as last told here.
    told_until: Option<Timestamp>,
    /// Told of, and waiting for the sign that the visitor is there.
    unclaimed: Option<Session>,
    needs_seat: bool,
    _place: Place,
}

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    Silence,
    Say(String),
    /// Say it, and take the visitor's next sign of life as the claim.
    Admit(String),
    /// Say it, then close: the ticket ended.
    End(String),
    /// Say it, then close with this code: it cannot go on.
    Fail(String, u16),
    /// Close: connect again elsewhere.
    Away,
}

impl Visit {
    pub fn new(
        core: Arc<Core>,
        mirror: Arc<Mirror>,
        record: Arc<RoomRecord>,
        ticket: Ticket,
        place: Place,
    ) -> Self {
        let outbox = Arc::default();
        let (told_until, unclaimed, needs_seat) = (None, None, true);
        Self { core, outbox, mirror, record, ticket, told_until, unclaimed, needs_seat, _place: place }
    }

    /// The visit of an ended ticket: it takes no seat, and hears only its reason.
    pub fn over(
        core: Arc<Core>,
        mirror: Arc<Mirror>,
        record: Arc<RoomRecord>,
        ticket: Ticket,
        place: Place,
        reason: EndReason,
    ) -> Self {
        let mut visit = Self::new(core, mirror, record, ticket, place);
        visit.needs_seat = false;
        visit.outbox.put(Outgoing::Ended(reason));
        visit
    }

    /// Takes the seat in the room; false when there is none any more.
    pub async fn sit_down(&self) -> bool {
        if !self.needs_seat {
            return true;
        }
        let arrival = Arrival { number: self.ticket.number, outbox: self.outbox.clone() };
        match self.core.shard(&self.mirror) {
            Ok(shard) => shard.send(arrival).await.is_ok(),
            Err(_) => false,
        }
    }

    pub fn word(&mut self, outgoing: Outgoing) -> Word {
        match outgoing {
            Outgoing::Room { state, notice } => {
                Word::Say(ServerMessage::Room { state, notice: notice.as_deref() }.to_json())
            }
            Outgoing::Figures(view) => Word::Say(ServerMessage::from(view).to_json()),
            Outgoing::Admitted(session) => self.admit(session),
            Outgoing::Expiring { seconds } => Word::Say(ServerMessage::Expiring { seconds }.to_json()),
            Outgoing::Ended(reason) => Word::End(ServerMessage::Ended { reason }.to_json()),
            Outgoing::Away => Word::Away,
        }
    }

    /// The visitor gave a sign of life after `admitted`. A store that does not answer is asked at the next one.
    pub async fn claim(&mut self) {
        let Some(session) = self.unclaimed else { return };
        let (store, now) = (self.core.ports.store.as_ref(), self.core.ports.clock.now());
        match edge::claim(store, self.mirror.room(), self.ticket.number, session, self.terms(), now).await {
            Ok(_) => self.unclaimed = None,
            Err(error) => tracing::warn!(room = %self.mirror.room(), %error, "a claim could not be stored"),
        }
    }

    pub fn is_unclaimed(&self) -> bool {
        self.unclaimed.is_some()
    }

    /// More time, if it is not too late; then `ended` is on its way.
    pub async fn renew(&mut self) -> Word {
        let renewed = insist(|| async {
            let (ports, room, number) = (&self.core.ports, self.mirror.room(), self.ticket.number);
            let session = match ports.store.seen(room, number).await?.standing {
                Standing::Session(session) => session,
                Standing::Prequeue | Standing::Waiting(_) | Standing::Unknown => return Ok(Err(())),
                Standing::Ended(_) => return Ok(Ok(None)),
            };
            let now = ports.clock.now();
            let renewed = edge::renew(ports.store.as_ref(), room, number, session, self.terms(), now).await?;
            Ok(Ok(renewed))
        });
        match renewed.await {
            Ok(Ok(Some(session))) => {
                self.told_until = None;
                self.admit(session)
            }
            Ok(Ok(None)) => Word::Silence,
            Ok(Err(())) => fail("not_admitted", 1008),
            Err(_) => fail("unavailable", 1013),
        }
    }

    /// Leaves the line, or gives the slot back.
    pub async fn leave(&mut self) -> Word {
        let left = insist(|| async {
            let (ports, room, number) = (&self.core.ports, self.mirror.room(), self.ticket.number);
            let (store, now) = (ports.store.as_ref(), ports.clock.now());
            match store.seen(room, number).await?.standing {
                Standing::Prequeue | Standing::Waiting(_) => {
                    let gone = store.depart(room, Ranges::one(number), EndReason::Left, now).await?;
                    if !gone.is_empty() {
                        return Ok(EndReason::Left);
                    }
                    // Called, or ended, in between.
                    edge::end(store, room, number, EndReason::Left, now).await?;
                }
                Standing::Session(_) => {
                    edge::end(store, room, number, EndReason::Left, now).await?;
                }
                Standing::Ended(_) | Standing::Unknown => {}
            }
            match store.seen(room, number).await?.standing {
                Standing::Ended(reason) => Ok(reason),
                Standing::Unknown => Ok(EndReason::Left),
                Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_) => {
                    Err(StoreError::Unavailable("a ticket kept changing while it was given back".to_owned()))
                }
            }
        });
        match left.await {
            Ok(reason) => self.word(Outgoing::Ended(reason)),
            Err(_) => fail("unavailable", 1013),
        }
    }

    /// The pass, unless this or a later end was told here already: a renewal by another tab tells every tab.
    fn admit(&mut self, session: Session) -> Word {
        if let Session::Active { expires_at, .. } = session
            && self.told_until.is_some_and(|told| told >= expires_at)
        {
            return Word::Silence;
        }
        let (ports, terms) = (&self.core.ports, self.terms());
        let (record, ticket, now) = (&self.record, &self.ticket, ports.clock.now());
        let issued = edge::pass::issue(&ports.tickets, &ports.passes, record, ticket, session, terms, now);
        let Ok(Issued { pass, expires_at }) = issued else {
            tracing::error!(room = %self.mirror.room(), "passes cannot be signed");
            return fail("unavailable", 1011);
        };
        self.told_until = Some(expires_at);
        self.unclaimed = matches!(session, Session::Called { .. }).then_some(session);
        let go_to = self.mirror.read(|state| state.policy.go_to.clone()).flatten();
        Word::Admit(ServerMessage::Admitted { pass: &pass, expires_at, go_to: go_to.as_deref() }.to_json())
    }

    fn terms(&self) -> Terms {
        self.mirror
            .read(|state| Terms::from(&state.policy))
            .unwrap_or_else(|| Terms::from(&self.record.policy))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.outbox.hang_up();
    }
}

pub fn fail(code: &str, close: u16) -> Word {
    Word::Fail(ServerMessage::Error { code }.to_json(), close)
}

/// Asks the store again while it does not answer, a few times.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let mut attempt = 1;
    loop {
        match ask().await {
            Err(error) if attempt < ATTEMPTS => {
                tracing::warn!(%error, attempt, "the store does not answer a visitor; asking again");
                tokio::time::sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}
