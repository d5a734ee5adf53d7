//! The sweep of a room's sessions: whose time is over, and who was called and did not come.

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::ports::StoreError;
use kernel::presence::Attendance;
use kernel::room::Swapped;
use kernel::session::{Input, Next, Session, Terms, step};
use kernel::words::{Number, RoomId, Timestamp};

use crate::{Config, Ports};

/// Sessions looked at first; more when all of these still wait for their visitor.
const LOOK_FIRST: usize = 1_000;
const LOOK_MAX: usize = 1_000_000;
/// Rounds of a sweep; the next tick goes on.
const ROUNDS: usize = 100;
/// Ends on their way to the store at once.
const AT_ONCE: usize = 64;

pub(crate) struct Sweep<'a> {
    pub room: &'a RoomId,
    pub ports: &'a Ports,
    pub config: &'a Config,
    /// Absent while nobody knows who is there: then nobody is ended for not coming.
    pub attendance: Option<&'a Attendance>,
}

impl Sweep<'_> {
    /// Ends every session whose time is over.
    pub async fn run(&self, now: Timestamp) -> Result<(), StoreError> {
        let store = self.ports.store.as_ref();
        let mut limit = LOOK_FIRST;
        for _ in 0..ROUNDS {
            let due = store.due(self.room, now, limit).await?;
            if due.is_empty() {
                return Ok(());
            }
            let policy = store.counts(self.room).await?.policy;
            let terms = Terms::from(&policy);
            let ending: Vec<_> = due
                .iter()
                .filter_map(|(number, session)| {
                    let claim_until = self.claim_until(*number, *session, &policy);
                    match step(*session, Input::Sweep { claim_until }, terms, now) {
                        Ok(next @ Next::Ended(_)) => Some((*number, *session, next)),
                        Ok(Next::Same | Next::Claimed(_) | Next::Renewed(_)) | Err(_) => None,
                    }
                })
                .collect();
            let none_ended = ending.is_empty();
            self.end(ending, now).await?;
            if due.len() < limit || limit >= LOOK_MAX {
                return Ok(());
            }
            if none_ended {
                // The front is full of called visitors who may still come.
                limit *= 4;
            }
        }
        Ok(())
    }

    fn claim_until(&self, number: Number, session: Session, policy: &kernel::policy::Policy) -> Timestamp {
        let grace_seconds = policy.grace_seconds + self.config.lag.as_secs();
        match (session, self.attendance) {
            (Session::Called { claim_by }, Some(attendance)) => {
                attendance.claim_until(number, claim_by, policy.claim_seconds, grace_seconds)
            }
            (Session::Called { .. }, None) | (Session::Active { .. }, _) => Timestamp::MAX,
        }
    }

    /// Somebody else's change in between wins: the next tick sees the session as it is then.
    async fn end(&self, ending: Vec<(Number, Session, Next)>, now: Timestamp) -> Result<(), StoreError> {
        let store = self.ports.store.as_ref();
        stream::iter(ending)
            .map(|(number, from, to)| store.swap_session(self.room, number, from, to, now))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|swapped| async move {
                if swapped == Swapped::Done {
                    metrics::counter!("turnline_sessions_ended_total").increment(1);
                }
                Ok(())
            })
            .await
    }
}
