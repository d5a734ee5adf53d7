//! The thread of a worker that holds the sockets: opens them, reads them, cuts them off, brings them back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use crowd::{Crowd, Handshake};
use tokio::sync::oneshot;

use super::clock::{self, Micros, SECOND};
use super::ear::Ear;
use super::pauses;
use super::protocol::{Pulse, Share};
use super::roll::{Link, Standing};
use crate::simulate::watch;

/// Who just joined waits at most so long for their channel to be begun.
const TURN: Duration = Duration::from_millis(4);
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
    crowd: Crowd<Ear>,
    share: Share,
    wishes: mpsc::Receiver<Wish>,
    due: BinaryHeap<Reverse<(Micros, u32)>>,
    looked: Micros,
    storms: u64,
}

impl Driver {
    /// # Errors
    /// When the system has no epoll to give.
    pub fn new(share: Share, ear: Ear, wishes: mpsc::Receiver<Wish>) -> io::Result<Driver> {
        Ok(Driver {
            crowd: Crowd::new(ear)?,
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
            self.crowd.turn(TURN)?;
            let again = std::mem::take(&mut self.crowd.listener().again);
            self.due.extend(again.into_iter().map(|(who, at)| Reverse((at, who))));
            self.look_after();
        }
    }

    fn grant(&mut self, wish: Wish) {
        // Who asked may have been interrupted meanwhile; then nobody waits for the answer.
        match wish {
            Wish::Joined { who, number, ticket } => {
                self.crowd.listener().roll.joined(who, number, &ticket);
                self.due.push(Reverse((clock::now(), who)));
            }
            Wish::NotJoined { who } => {
                if let Some(visitor) = self.crowd.listener().roll.get(who) {
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

    /// Begins the handshakes that are due.
    fn open_due(&mut self) {
        let now = clock::now();
        for _ in 0..OPENED_A_TURN {
            match self.due.peek() {
                Some(Reverse((at, _))) if *at <= now => {}
                _ => return,
            }
            if let Some(Reverse((_, who))) = self.due.pop() {
                self.open(who, now);
            }
        }
    }

    fn open(&mut self, who: u32, now: Micros) {
        let ear = self.crowd.listener();
        let Some(visitor) = ear.roll.get(who).filter(|visitor| visitor.link == Link::Away) else { return };
        (visitor.link, visitor.since) = (Link::Opening, now);
        let failures = visitor.failures;
        let turn = who as usize + usize::from(visitor.address);
        let Some(channels) = self.share.channels.get(turn % self.share.channels.len().max(1)) else { return };
        let Some(ticket) = ear.roll.ticket(who) else { return };
        let ticket = format!("ticket.{ticket}");
        let request = Handshake::new(&channels.host, &channels.path, &["turnline.v1", &ticket]);
        let source = self.share.sources.get(who as usize % self.share.sources.len().max(1)).copied();
        if let Err(error) = self.crowd.open(who, channels.address, source, &request) {
            let ear = self.crowd.listener();
            let pause = pauses::after_refusal(None, failures, &mut ear.chance);
            *ear.refused.entry(error.to_string()).or_default() += 1;
            ear.try_again(who, pause);
        }
    }

    /// All sockets at once, as when a network is cut; each comes back after a pause of its own.
    fn storm(&mut self, spread: Micros) {
        self.crowd.drop_all();
        self.storms += 1;
        let now = clock::now();
        let ear = self.crowd.listener();
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
        for who in self.crowd.listener().overdue(now) {
            self.crowd.drop_socket(who);
            let ear = self.crowd.listener();
            *ear.refused.entry("no answer in 20 s".to_owned()).or_default() += 1;
            let pause = pauses::after_refusal(None, 0, &mut ear.chance);
            ear.try_again(who, pause);
        }
        let ear = self.crowd.listener();
        if ear.storm.is_some() && ear.roll.standings().stormed == 0 {
            ear.storm = None;
        }
    }

    fn sample(&mut self, count: usize) -> Vec<Asking> {
        let roll = &mut self.crowd.listener().roll;
        let whom = roll.sample(count);
        let asking = |who: u32| {
            let number = roll.get(who)?.number;
            Some(Asking { who, number, ticket: roll.ticket(who)?.to_owned() })
        };
        whom.into_iter().filter_map(asking).collect()
    }

    fn look(&mut self, who: u32) -> Look {
        let visitor = self.crowd.listener().roll.get(who).filter(|visitor| {
            visitor.standing == Standing::Waiting && visitor.link == Link::Told && visitor.position > 0
        });
        Look { position: visitor.map(|visitor| visitor.position) }
    }

    fn pulse(&mut self) -> Pulse {
        let storms = self.storms;
        let ear = self.crowd.listener();
        let now = ear.roll.standings();
        Pulse {
            at: clock::now(),
            joined: now.joined,
            open: now.open,
            told: now.told,
            inside: now.inside,
            ended: now.ended,
            lost: now.lost,
            stormed: now.stormed,
            storms,
            refused: ear.refused.values().sum(),
            messages: ear.messages,
            bytes: ear.bytes,
            processor: clock::processor_time(),
            memory: watch::memory_now().unwrap_or_default(),
            ..Pulse::default()
        }
    }

    fn finish(mut self, bound: Micros, answer: oneshot::Sender<Ear>) {
        let empty = Ear::new(0, self.crowd.listener().chance.clone());
        let mut ear = std::mem::replace(self.crowd.listener(), empty);
        ear.judge_freshness(clock::now(), bound);
        let _ = answer.send(ear);
        self.crowd.drop_all();
    }
}
