//! One connection's visitor: words for what the shard says, passes, and what the visitor asks for.
//! The same for a WebSocket and an event stream.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use edge::pass::Issued;
use kernel::ports::{RoomRecord, StoreError};
use kernel::room::Standing;
use kernel::session::{Session, Terms};
use kernel::ticket::Ticket;
use kernel::words::{EndReason, Ranges, Timestamp};

use crate::door::Place;
use crate::hall::Hall;
use crate::message::{ClientMessage, ServerMessage};
use crate::outbox::Outgoing;

/// How often a store that does not answer is asked again before the visitor is sent away.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

pub struct Visit {
    pub hall: Arc<Hall>,
    pub ticket: Ticket,
    record: Arc<RoomRecord>,
    /// Most visitors wait.
    inside: Option<Box<Inside>>,
    _place: Place,
}

/// What a visitor who was let in was told here.
#[derive(Debug, Default)]
struct Inside {
    told_until: Option<Timestamp>,
    /// Told of, and waiting for the sign that the visitor is there.
    unclaimed: Option<Session>,
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

/// What a visitor wants of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The visitor gave a sign of life after this session was told.
    Claim(Session),
    Renew,
    Leave,
}

/// What came of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    Claimed,
    /// The store did not take the claim; another sign of life may.
    Unclaimed,
    Renewed(Session),
    /// Too late: that the ticket ended is on its way.
    Over,
    /// Who only waits has nothing to renew.
    NotAdmitted,
    Left(EndReason),
    Unavailable,
}

/// All that asking the store takes, apart from the connection.
pub struct Errand {
    hall: Arc<Hall>,
    record: Arc<RoomRecord>,
    ticket: Ticket,
}

impl Visit {
    pub fn new(hall: Arc<Hall>, record: Arc<RoomRecord>, ticket: Ticket, place: Place) -> Self {
        Self { hall, ticket, record, inside: None, _place: place }
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

    /// What is told and not claimed yet: the next sign of life is the claim.
    pub fn unclaimed(&self) -> Option<Session> {
        self.inside.as_ref()?.unclaimed
    }

    pub fn errand(&self) -> Errand {
        Errand { hall: self.hall.clone(), record: self.record.clone(), ticket: self.ticket.clone() }
    }

    pub fn granted(&mut self, granted: Granted) -> Word {
        match granted {
            Granted::Claimed => {
                if let Some(inside) = &mut self.inside {
                    inside.unclaimed = None;
                }
                Word::Silence
            }
            Granted::Unclaimed | Granted::Over => Word::Silence,
            Granted::Renewed(session) => {
                if let Some(inside) = &mut self.inside {
                    inside.told_until = None;
                }
                self.admit(session)
            }
            Granted::NotAdmitted => fail("not_admitted", 1008),
            Granted::Left(reason) => self.word(Outgoing::Ended(reason)),
            Granted::Unavailable => fail("unavailable", 1013),
        }
    }

    /// The pass, unless this or a later end was told here already: a renewal by another tab tells every tab.
    fn admit(&mut self, session: Session) -> Word {
        let told_until = self.inside.as_ref().and_then(|inside| inside.told_until);
        if let Session::Active { expires_at, .. } = session
            && told_until.is_some_and(|told| told >= expires_at)
        {
            return Word::Silence;
        }
        let (hall, record, ticket) = (&self.hall, &self.record, &self.ticket);
        let (ports, terms) = (&hall.core.ports, hall.terms(record));
        let now = ports.clock.now();
        let issued = edge::pass::issue(&ports.tickets, &ports.passes, record, ticket, session, terms, now);
        let Ok(Issued { pass, expires_at }) = issued else {
            tracing::error!(room = %hall.mirror.room(), "passes cannot be signed");
            return fail("unavailable", 1011);
        };
        let unclaimed = matches!(session, Session::Called { .. }).then_some(session);
        self.inside = Some(Box::new(Inside { told_until: Some(expires_at), unclaimed }));
        let go_to = self.hall.mirror.read(|state| state.policy.go_to.clone()).flatten();
        Word::Admit(ServerMessage::Admitted { pass: &pass, expires_at, go_to: go_to.as_deref() }.to_json())
    }
}

impl From<ClientMessage> for Wish {
    fn from(message: ClientMessage) -> Self {
        match message {
            ClientMessage::Leave => Self::Leave,
            ClientMessage::Renew => Self::Renew,
        }
    }
}

impl Errand {
    pub async fn run(self, wish: Wish) -> Granted {
        match wish {
            Wish::Claim(session) => self.claim(session).await,
            Wish::Renew => insist(|| self.renew()).await.unwrap_or(Granted::Unavailable),
            Wish::Leave => insist(|| self.leave()).await.map_or(Granted::Unavailable, Granted::Left),
        }
    }

    async fn claim(&self, session: Session) -> Granted {
        let (ports, room, number) = (&self.hall.core.ports, self.hall.mirror.room(), self.ticket.number);
        let (store, terms) = (ports.store.as_ref(), self.hall.terms(&self.record));
        match edge::claim(store, room, number, session, terms, ports.clock.now()).await {
            Ok(_) => Granted::Claimed,
            Err(error) => {
                tracing::warn!(%room, %error, "a claim could not be stored");
                Granted::Unclaimed
            }
        }
    }

    async fn renew(&self) -> Result<Granted, StoreError> {
        let (ports, room, number) = (&self.hall.core.ports, self.hall.mirror.room(), self.ticket.number);
        let session = match ports.store.seen(room, number).await?.standing {
            Standing::Session(session) => session,
            Standing::Prequeue | Standing::Waiting(_) | Standing::Unknown => return Ok(Granted::NotAdmitted),
            Standing::Ended(_) => return Ok(Granted::Over),
        };
        let (terms, now) = (self.hall.terms(&self.record), ports.clock.now());
        let renewed = edge::renew(ports.store.as_ref(), room, number, session, terms, now).await?;
        Ok(renewed.map_or(Granted::Over, Granted::Renewed))
    }

    /// Leaves the line, or gives the slot back.
    async fn leave(&self) -> Result<EndReason, StoreError> {
        let (ports, room, number) = (&self.hall.core.ports, self.hall.mirror.room(), self.ticket.number);
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

impl Hall {
    /// The terms in force; the record's while the room is not known here.
    pub fn terms(&self, record: &RoomRecord) -> Terms {
        self.mirror.read(|state| Terms::from(&state.policy)).unwrap_or_else(|| Terms::from(&record.policy))
    }
}
