//! What one connection has still to be told. A slow reader costs a few fixed places, never a queue: the newest
//! figures replace unsent ones; what happens once (admitted, expiring, ended) is kept until it is said.
//! A socket has such places only while it is blocked; an event stream meets its shard in them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::control::Control;
use kernel::session::Session;
use kernel::words::EndReason;
use tokio::sync::Notify;

use crate::view::View;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    Room {
        state: Control,
        notice: Option<Arc<str>>,
    },
    Figures(View),
    Admitted(Session),
    Expiring {
        seconds: u64,
    },
    Ended(EndReason),
    /// This process stops: connect again elsewhere.
    Away,
}

#[derive(Debug, Default)]
pub struct Outbox {
    unsent: Mutex<Unsent>,
    bell: Notify,
}

/// One place a kind, taken in the order in which they matter to a visitor: the own place before the room.
#[derive(Debug, Default)]
pub struct Unsent {
    room: Option<Outgoing>,
    figures: Option<View>,
    admitted: Option<Session>,
    expiring: Option<u64>,
    ended: Option<EndReason>,
    away: bool,
}

impl Outbox {
    /// Never blocks; true when an unsent older figure was replaced.
    pub fn put(&self, outgoing: Outgoing) -> bool {
        let replaced = self.unsent().put(outgoing);
        self.bell.notify_one();
        replaced
    }

    /// What to say next.
    pub fn take(&self) -> Option<Outgoing> {
        self.unsent().take()
    }

    /// Waits until there may be something to say. Cancel-safe: the bell keeps one ring.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    fn unsent(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsent {
    /// True when an unsent older one was replaced.
    pub fn put(&mut self, outgoing: Outgoing) -> bool {
        match outgoing {
            Outgoing::Room { .. } => self.room.replace(outgoing).is_some(),
            Outgoing::Figures(view) => self.figures.replace(view).is_some(),
            Outgoing::Admitted(session) => {
                // Whoever was called has no place in line any more; new time takes an old warning back.
                (self.figures, self.expiring) = (None, None);
                self.admitted.replace(session).is_some()
            }
            Outgoing::Expiring { seconds } => self.expiring.replace(seconds).is_some(),
            Outgoing::Ended(reason) => {
                (self.figures, self.expiring) = (None, None);
                self.ended.replace(reason).is_some()
            }
            Outgoing::Away => std::mem::replace(&mut self.away, true),
        }
    }

    pub fn take(&mut self) -> Option<Outgoing> {
        let place = self.figures.take().map(Outgoing::Figures);
        place
            .or_else(|| self.admitted.take().map(Outgoing::Admitted))
            .or_else(|| self.room.take())
            .or_else(|| self.expiring.take().map(|seconds| Outgoing::Expiring { seconds }))
            .or_else(|| self.ended.take().map(Outgoing::Ended))
            .or_else(|| std::mem::take(&mut self.away).then_some(Outgoing::Away))
    }
}

#[cfg(test)]
mod tests {
    use kernel::words::Timestamp;

    use super::*;

    fn all(outbox: &Outbox) -> Vec<Outgoing> {
        std::iter::from_fn(|| outbox.take()).collect()
    }

    fn figures(position: u64) -> Outgoing {
        Outgoing::Figures(View::Waiting { position, waiting: 50, per_hour: 60 })
    }

    #[test]
    fn the_newest_figure_replaces_the_unsent_one() {
        let outbox = Outbox::default();
        assert!(!outbox.put(figures(9)));
        assert!(outbox.put(figures(8)));
        assert!(outbox.put(figures(7)));
        assert_eq!(all(&outbox), [figures(7)]);
    }

    #[test]
    fn what_happens_once_is_kept_and_no_older_figure_follows_it() {
        let session = Session::Called { claim_by: Timestamp::from_millis(5) };
        let outbox = Outbox::default();
        let paused = |notice: &str| Outgoing::Room { state: Control::Paused, notice: Some(notice.into()) };
        outbox.put(figures(1));
        outbox.put(Outgoing::Admitted(session));
        outbox.put(paused("old"));
        outbox.put(paused("new"));
        outbox.put(Outgoing::Expiring { seconds: 3 });
        outbox.put(Outgoing::Away);
        let expected =
            [Outgoing::Admitted(session), paused("new"), Outgoing::Expiring { seconds: 3 }, Outgoing::Away];
        assert_eq!(all(&outbox), expected);
        outbox.put(Outgoing::Expiring { seconds: 3 });
        outbox.put(figures(1));
        outbox.put(Outgoing::Ended(EndReason::Paid));
        assert_eq!(all(&outbox), [Outgoing::Ended(EndReason::Paid)]);
    }

    #[tokio::test]
    async fn a_ring_before_the_listener_came_is_heard() {
        let outbox = Outbox::default();
        outbox.put(figures(2));
        outbox.rung().await;
        assert_eq!(outbox.take(), Some(figures(2)));
    }
}
