//! The thread of a worker that holds the sockets: opens them, reads them, cuts them off, brings them back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::{self, Micros, SECOND};
use super::ear::Ear;
use super::pauses;
use super::protocol::{Pulse, Share};
use super::roll::{Link, Standing};
use super::wire::{Begun, Wire};
use crate::simulate::watch;

/// Who just joined, or is due, waits at most so long.
const TURN: Duration = Duration::from_millis(4);
/// When all have joined, an order waits at most so long.
const LONGEST_TURN: Duration = Duration::from_millis(50);
/// So many handshakes are begun between two looks at the sockets.
const OPENED_A_TURN: usize = 256;

/// What the rest of the worker wants of the thread.
pub enum Wish {
    Joined {
        who: u32,
        number: u64,
        ticket: String,
    },
    NotJoined {
        who: u32,
    },
    Storm {
        spread: Micros,
    },
    Sample {
        count: usize,
        answer: oneshot::Sender<Vec<Asking>>,
    },
    /// Where these stand now, in the same order.
    Look {
        whom: Vec<u32>,
        answer: oneshot::Sender<Vec<Look>>,
    },
    Pulse {
        answer: oneshot::Sender<Pulse>,
    },
    /// Judges the end, closes everything and gives back what was seen.
    Finish {
        bound: Micros,
        answer: oneshot::Sender<Ear>,
    },
}

/// A visitor to be asked after.
pub struct Asking {
    pub who: u32,
    pub number: u64,
    pub ticket: String,
}

/// The position told last, of somebody who waits with an open channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub position: Option<u64>,
}

/// All sockets of a worker.
pub struct Driver {
    wire: Wire,
    share: Share,
    wishes: mpsc::Receiver<Wish>,
    due: BinaryHeap<Reverse<(Micros, u32)>>,
    looked: Micros,
    storms: u64,
    /// Whose joining is not over yet.
    joining: u32,
}

impl Driver {
    /// # Errors
    /// When the system has no epoll to give.
    pub fn new(share: Share, ear: Ear, wishes: mpsc::Receiver<Wish>) -> io::Result<Driver> {
        Ok(Driver {
            wire: Wire::new(&share, ear)?,
            joining: share.visitors,
            share,
            wishes,
            due: BinaryHeap::new(),
            looked: clock::now(),
            storms: 0,
        })
    }

    /// Runs until told to finish, or until nobody is left to tell it.
    ///
    /// # Errors
    /// When the epoll fails.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            loop {
                match self.wishes.try_recv() {
                    Ok(Wish::Finish { bound, answer }) => {
                        self.finish(bound, answer);
                        return Ok(());
                    }
                    Ok(wish) => self.grant(wish),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.open_due();
            self.wire.turn(self.idle())?;
            let again = std::mem::take(&mut self.wire.ear().again);
            self.due.extend(again.into_iter().map(|(who, at)| Reverse((at, who))));
            self.look_after();
        }
    }

    /// How long nothing needs to be done but to listen.
    fn idle(&self) -> Duration {
        let most = if self.joining > 0 { TURN } else { LONGEST_TURN };
        let due = self.due.peek().map(|Reverse((at, _))| at.saturating_sub(clock::now()));
        due.map_or(most, |due| Duration::from_micros(due).clamp(TURN, most))
    }

    fn grant(&mut self, wish: Wish) {
        // Who asked may have been interrupted meanwhile; then nobody waits for the answer.
        match wish {
            Wish::Joined { who, number, ticket } => {
                let ear = self.wire.ear();
                ear.roll.joined(who, number, &ticket);
                // Who asks begins somewhere in their rhythm, so that not all ask at the same moment.
                let pause = pauses::upto(self.share.poll_every.unwrap_or_default(), &mut ear.chance);
                self.due.push(Reverse((clock::now() + pause, who)));
                self.joining = self.joining.saturating_sub(1);
            }
            Wish::NotJoined { who } => {
                self.joining = self.joining.saturating_sub(1);
                if let Some(visitor) = self.wire.ear().roll.get(who) {
                    (visitor.link, visitor.standing) = (Link::Done, Standing::Lost);
                }
            }
            Wish::Storm { spread } => self.storm(spread),
            Wish::Sample { count, answer } => {
                let _ = answer.send(self.sample(count));
            }
            Wish::Look { whom, answer } => {
                let _ = answer.send(whom.into_iter().map(|who| self.look(who)).collect());
            }
            Wish::Pulse { answer } => {
                let _ = answer.send(self.pulse());
            }
            Wish::Finish { .. } => {}
        }
    }

    /// Begins the handshakes, or sends the requests, that are due.
    fn open_due(&mut self) {
        let now = clock::now();
        for _ in 0..OPENED_A_TURN {
            match self.due.peek() {
                Some(Reverse((at, _))) if *at <= now => {}
                _ => return,
            }
            let Some(Reverse((_, who))) = self.due.pop() else { return };
            if self.wire.begin(who, &self.share, now) == Begun::Busy {
                self.due.push(Reverse((now, who)));
                return;
            }
        }
    }

    /// All sockets at once, as when a network is cut; each comes back after a pause of its own.
    fn storm(&mut self, spread: Micros) {
        self.wire.drop_all();
        self.storms += 1;
        let now = clock::now();
        let ear = self.wire.ear();
        ear.storm = Some(now);
        for (who, visitor) in ear.roll.all_mut() {
            if matches!(visitor.link, Link::Opening | Link::Open | Link::Told) {
                (visitor.link, visitor.since, visitor.stormed) = (Link::Away, now, true);
                self.due.push(Reverse((now + pauses::upto(spread, &mut ear.chance), who)));
            }
        }
    }

    /// Once a second: hanging handshakes, silent channels, the end of the storm.
    fn look_after(&mut self) {
        let now = clock::now();
        if now.saturating_sub(self.looked) < SECOND {
            return;
        }
        self.looked = now;
        for who in self.wire.ear().overdue(now) {
            self.wire.drop_socket(who);
            let ear = self.wire.ear();
            *ear.refused.entry("no answer in 20 s".to_owned()).or_default() += 1;
            let pause = pauses::after_refusal(None, 0, &mut ear.chance);
            ear.try_again(who, pause);
        }
        let ear = self.wire.ear();
        if ear.storm.is_some() && ear.roll.standings().stormed == 0 {
            ear.storm = None;
        }
    }

    fn sample(&mut self, count: usize) -> Vec<Asking> {
        let roll = &mut self.wire.ear().roll;
        let whom = roll.sample(count);
        let asking = |who: u32| {
            let number = roll.get(who)?.number;
            Some(Asking { who, number, ticket: roll.ticket(who)?.to_owned() })
        };
        whom.into_iter().filter_map(asking).collect()
    }

    fn look(&mut self, who: u32) -> Look {
        let visitor = self.wire.ear().roll.get(who).filter(|visitor| {
            visitor.standing == Standing::Waiting && visitor.link == Link::Told && visitor.position > 0
        });
        Look { position: visitor.map(|visitor| visitor.position) }
    }

    fn pulse(&mut self) -> Pulse {
        let due = self.due.capacity() * size_of::<Reverse<(Micros, u32)>>();
        let kept = self.wire.kept_bytes() + due;
        let (storms, holding) = (self.storms, !self.share.polling);
        let ear = self.wire.ear();
        let now = ear.roll.standings();
        Pulse {
            at: clock::now(),
            joined: now.joined,
            open: if holding { now.open } else { 0 },
            told: now.told,
            inside: now.inside,
            ended: now.ended,
            lost: now.lost,
            stormed: now.stormed,
            storms,
            refused: ear.refused.values().sum(),
            messages: ear.messages,
            bytes: ear.bytes,
            requests: ear.requests,
            bytes_out: ear.bytes_out,
            processor: clock::processor_time(),
            kept: kept as u64,
            memory: watch::memory_now().unwrap_or_default(),
        }
    }

    fn finish(mut self, bound: Micros, answer: oneshot::Sender<Ear>) {
        let empty = Ear::new(0, None, self.wire.ear().chance.clone());
        let mut ear = std::mem::replace(self.wire.ear(), empty);
        ear.judge_freshness(clock::now(), bound);
        // Before anybody hears that we are done: a process that ends with its sockets open leaves their ports
        // taken for a minute.
        self.wire.drop_all();
        let _ = answer.send(ear);
    }
}
