//! One visitor's way: join, wait, be admitted, buy or give back, hear the end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::args::Medium;
use super::chance::Chance;
use super::channel::{Channel, Heard};
use super::figures::Timing;
use super::http::{Away, Call};
use super::joining::{join, join_again};
use super::message::{Joined, Mine, PassTimes, Position, Reason, ServerMessage};
use super::probes;
use super::purchase::{Errand, Errands};
use super::rules::{At, Fact};
use super::world::{Once, World};

/// A leaver has seen the line for a while, an abandoner has too.
const ACT_LEAST: Duration = Duration::from_millis(100);
const ACT_MOST: Duration = Duration::from_secs(4);
/// So long may the word of an end take to come over the channel.
const END_HEARD: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How a visitor's way ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Paid,
    GaveBack,
    SoldOut,
    Left,
    Abandoned,
    Expired,
    /// The operator closed the room or revoked the ticket.
    SentAway,
    Failed(String),
}

/// What a waiting visitor is going to do on their own.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Leave,
    Abandon,
    Reload,
}

pub struct Visitor {
    world: Arc<World>,
    index: usize,
    chance: Chance,
    ticket: String,
    number: u64,
    channel: Channel,
    pass: Arc<Mutex<String>>,
    /// The last progress of the line heard on this connection.
    progress: Option<u64>,
    waiting: bool,
    act: Option<(Act, Instant)>,
    errand: Option<JoinHandle<Errand>>,
    done: Option<Errand>,
    ended: Option<Reason>,
    /// When to ask for an end that was not heard of.
    ask_at: Option<Instant>,
    released_at: Option<Instant>,
}

/// Goes the whole way of visitor `index`.
pub async fn live(world: Arc<World>, index: usize) -> Outcome {
    let mut chance = Chance::of_visitor(world.seed, index);
    match join(&world, index, &mut chance).await {
        Ok((joined, key)) => {
            world.counts.joined.fetch_add(1, Ordering::Relaxed);
            world.counts.waiting.fetch_add(1, Ordering::Relaxed);
            let visitor = Visitor::new(world.clone(), index, chance, joined);
            let outcome = Box::pin(visitor.go(key)).await;
            let count = match outcome {
                Outcome::Paid | Outcome::GaveBack => &world.counts.done,
                _ => &world.counts.ended,
            };
            count.fetch_add(1, Ordering::Relaxed);
            outcome
        }
        Err(why) => {
            world.counts.ended.fetch_add(1, Ordering::Relaxed);
            Outcome::Failed(format!("join: {why}"))
        }
    }
}

impl Visitor {
    fn new(world: Arc<World>, index: usize, mut chance: Chance, joined: Joined) -> Visitor {
        let channel = Channel::new(world.args.medium(), joined.ticket.clone());
        let draw = chance.unit();
        let (leave, abandon) = (world.args.leave_fraction, world.args.abandon_fraction);
        let what = match draw {
            d if d < leave => Some(Act::Leave),
            d if d < leave + abandon => Some(Act::Abandon),
            _ if world.probed(index) => Some(Act::Reload),
            _ => None,
        };
        let when = Instant::now() + chance.between(ACT_LEAST, ACT_MOST);
        Visitor {
            world,
            index,
            chance,
            ticket: joined.ticket,
            number: joined.number,
            channel,
            pass: Arc::default(),
            progress: None,
            waiting: true,
            act: what.map(|what| (what, when)),
            errand: None,
            done: None,
            ended: None,
            ask_at: None,
            released_at: None,
        }
    }

    async fn go(mut self, key: String) -> Outcome {
        if Once::first(&self.world.once.forged_ticket) {
            probes::forged_tickets(&self.world, &self.ticket, &mut self.chance).await;
        }
        if self.world.probed(self.index) {
            join_again(&self.world, self.index, &self.ticket, &key, &mut self.chance).await;
        }
        drop(key);
        let outcome = loop {
            if let Some(outcome) = self.outcome() {
                break outcome;
            }
            let world = self.world.clone();
            let act_at = self.act.filter(|_| self.waiting).map(|(_, at)| at);
            let said = tokio::select! {
                heard = self.channel.hear(&world.api, &mut self.chance), if self.ended.is_none() => self.take(heard).await,
                done = finished(&mut self.errand), if self.errand.is_some() => self.came_back(done),
                () = at(act_at), if act_at.is_some() => self.do_act().await,
                () = at(self.ask_at), if self.ask_at.is_some() && self.errand.is_none() => {
                    self.ask_at = None;
                    self.send(Errands::settle);
                    None
                }
            };
            if let Some(outcome) = said {
                break outcome;
            }
        };
        if let Some(errand) = self.errand.take() {
            errand.abort();
        }
        let count = if self.waiting { &self.world.counts.waiting } else { &self.world.counts.inside };
        count.fetch_sub(1, Ordering::Relaxed);
        outcome
    }

    /// The end, once both the errand and the ticket have come to theirs.
    fn outcome(&self) -> Option<Outcome> {
        let reason = self.ended?;
        if self.errand.is_some() {
            return None;
        }
        Some(match (&self.done, reason) {
            (Some(Errand::Paid), _) => Outcome::Paid,
            (_, Reason::Expired) => Outcome::Expired,
            (_, Reason::Revoked | Reason::RoomClosed) => Outcome::SentAway,
            (Some(Errand::SoldOut), _) => Outcome::SoldOut,
            (Some(Errand::GaveBack), _) if !self.waiting => Outcome::GaveBack,
            (Some(Errand::Failed(why)), _) => Outcome::Failed(why.clone()),
            (_, Reason::Left) => Outcome::Left,
            (_, reason) => Outcome::Failed(format!("the ticket ended as {reason:?}")),
        })
    }

    async fn take(&mut self, heard: Heard) -> Option<Outcome> {
        match heard {
            Heard::Connected { took } => {
                self.see(Fact::Connected);
                self.progress = None;
                self.world.figures().took(Timing::Connect, took);
            }
            Heard::Cut => {
                self.see(Fact::Cut);
                self.world.figures().reconnects += 1;
            }
            Heard::Malformed(what) => self.see(Fact::Malformed(what)),
            Heard::Refused(status) => {
                self.see(Fact::TicketRefused { status, how: "the channel" });
                return Some(Outcome::Failed(format!("the channel answered {status}")));
            }
            Heard::Away(why) => return Some(Outcome::Failed(format!("lost the system: {why}"))),
            Heard::Message(message) => {
                let now = self.world.now();
                self.world.figures().pushes.mark(now, now);
                self.told(message, now).await;
            }
            Heard::Mine { mine, place, asked } => self.polled(mine, place, self.world.at(asked)).await,
        }
        None
    }

    async fn told(&mut self, message: ServerMessage, now: At) {
        match message {
            ServerMessage::Position(place) => {
                self.see(Fact::Position { place, known_at: now });
                let progress = self.number.saturating_sub(place.position);
                let news = self.progress.replace(progress).is_some_and(|before| before != progress);
                if news && self.world.line_is_plain() {
                    self.world.figures().moved(self.number, place.position, now);
                }
            }
            ServerMessage::Prequeue {} => self.see(Fact::Prequeue),
            ServerMessage::Admitted { pass } => self.admitted(pass, now),
            ServerMessage::Expiring {} => {
                if self.errand.is_some() {
                    self.channel.say(r#"{"type":"renew"}"#).await;
                }
            }
            ServerMessage::Ended { reason } => self.end(reason),
            ServerMessage::Error { code } => self.world.remark(format!("channel said error {code}")),
            ServerMessage::Room { .. } | ServerMessage::Unknown => {}
        }
    }

    async fn polled(&mut self, mine: Mine, place: Result<Position, String>, asked: At) {
        self.see(Fact::PlaceShown { number: mine.number, how: "polling" });
        match (mine.state.as_str(), mine.pass, mine.reason) {
            ("waiting", ..) => match place {
                Ok(place) => self.see(Fact::Position { place, known_at: asked }),
                Err(what) => self.see(Fact::Malformed(what)),
            },
            ("prequeue", ..) => self.see(Fact::Prequeue),
            ("active", Some(pass), _) => self.admitted(pass, self.world.now()),
            ("ended", _, Some(reason)) => self.end(reason),
            (state, pass, reason) => self.see(Fact::Malformed(format!(
                "tickets/me with state {state:?}, pass present: {}, reason {reason:?}",
                pass.is_some()
            ))),
        }
    }

    fn admitted(&mut self, pass: String, now: At) {
        let times = PassTimes::of(&pass);
        self.see(Fact::Admitted { iat: times.iat, exp: times.exp });
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = pass;
        if !self.waiting {
            return;
        }
        self.waiting = false;
        self.world.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        self.world.counts.inside.fetch_add(1, Ordering::Relaxed);
        self.world.figures().admitted(now);
        // Whoever has just said they leave has no more business inside.
        if self.ask_at.is_none() && self.errand.is_none() {
            self.send(|errands| async move { inside(errands).await });
        }
    }

    fn end(&mut self, reason: Reason) {
        self.see(Fact::Ended(reason));
        self.ended = Some(reason);
        self.ask_at = None;
        self.channel.hang_up();
    }

    fn came_back(&mut self, done: Errand) -> Option<Outcome> {
        self.errand = None;
        match done {
            Errand::Settled(Some(reason)) => {
                if self.world.args.medium() != Medium::Poll {
                    self.world.figures().ended_unheard += 1;
                }
                self.end(reason);
            }
            // A leave that was not heard is said again, in the way that has an answer.
            Errand::Settled(None) if self.done.is_none() => {
                self.send(Errands::give_back);
            }
            // A release travels as an event, and an outage may hold it up.
            Errand::Settled(None)
                if self.released_at.is_none_or(|at| at.elapsed() < self.world.api.outage) =>
            {
                self.ask_at = Some(Instant::now() + ASK_AGAIN);
            }
            Errand::Settled(None) => return Some(self.never_ended()),
            Errand::Failed(why) if self.done.is_some() => return Some(Outcome::Failed(why)),
            done => {
                self.done = Some(done);
                self.released_at = Some(Instant::now());
                self.ask_at = Some(Instant::now() + END_HEARD);
            }
        }
        None
    }

    fn never_ended(&mut self) -> Outcome {
        match self.done.take() {
            Some(Errand::Failed(why)) => Outcome::Failed(why),
            _ => Outcome::Failed("released, but the ticket does not end".into()),
        }
    }

    async fn do_act(&mut self) -> Option<Outcome> {
        match self.act.take().map(|(what, _)| what) {
            Some(Act::Leave) => {
                self.see(Fact::LeaveAsked);
                if self.chance.unit() < 0.5 && self.channel.say(r#"{"type":"leave"}"#).await {
                    self.ask_at = Some(Instant::now() + END_HEARD);
                } else {
                    self.send(Errands::give_back);
                }
            }
            Some(Act::Abandon) => {
                self.channel.hang_up();
                self.world.abandoned(self.index, std::mem::take(&mut self.ticket));
                return Some(Outcome::Abandoned);
            }
            Some(Act::Reload) => {
                self.channel.hang_up();
                self.see(Fact::Cut);
                self.show_place("reloading").await;
            }
            None => {}
        }
        None
    }

    async fn show_place(&mut self, how: &'static str) {
        let call = Call::get(self.world.api.room_path("/tickets/me")).bearer(&self.ticket);
        match self.world.api.call(call, &mut self.chance).await {
            Ok(answer) => match answer.read::<Mine>() {
                Ok(mine) => self.see(Fact::PlaceShown { number: mine.number, how }),
                Err(_) => self.see(Fact::TicketRefused { status: answer.status, how }),
            },
            Err(Away(why)) => self.world.remark(format!("place not shown: {why}")),
        }
    }

    /// Starts an errand beside the channel.
    fn send<F: Future<Output = Errand> + Send + 'static>(&mut self, errand: impl FnOnce(Errands) -> F) {
        let chance = Chance::new(self.chance.next());
        let errands = Errands {
            world: self.world.clone(),
            index: self.index,
            number: self.number,
            ticket: self.ticket.clone(),
            pass: self.pass.clone(),
            chance,
        };
        self.errand = Some(tokio::spawn(errand(errands)));
    }

    fn see(&self, fact: Fact) {
        self.world.see(self.index, fact);
    }
}

/// What is done inside, after the checks that need a genuine pass.
async fn inside(mut errands: Errands) -> Errand {
    let world = errands.world.clone();
    let pass = errands.pass.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if world.once.passes_verified.fetch_add(1, Ordering::Relaxed) < probes::VERIFIED {
        probes::verify_pass(&world, errands.number, &pass, &mut errands.chance).await;
    }
    if Once::first(&world.once.forged_pass) {
        probes::forged_passes(&world, &pass, &errands.ticket, &mut errands.chance).await;
    }
    if world.args.buy { errands.buy().await } else { errands.give_back().await }
}

async fn finished(errand: &mut Option<JoinHandle<Errand>>) -> Errand {
    match errand {
        Some(errand) => errand.await.unwrap_or_else(|e| Errand::Failed(format!("errand broke off: {e}"))),
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
