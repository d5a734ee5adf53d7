//! The sockets of a shard: what is said goes straight out, what is heard becomes a wish or an end, and who is
//! silent or takes nothing for too long is dropped. Nothing here waits.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use kernel::words::Number;
use mio::{Interest, Registry, Token};

use crate::frame::FrameMaker;
use crate::hearing::{Heard, Hearing};
use crate::message::ServerMessage;
use crate::outbox::Outgoing;
use crate::visit::{Granted, Visit, Wish, Word, fail};
use crate::wire::{Sent, Wire};

/// How long, and how many bytes, we still listen after a close so that its code arrives: bytes left unread would
/// make the kernel answer with a reset, which overtakes the close.
const FAREWELL: Duration = Duration::from_secs(2);
const FAREWELL_BYTES: u32 = 16 << 20;
/// How soon a claim that could not be stored is tried again.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);
/// Bytes taken from a socket at once; one buffer serves all.
const READ_BYTES: usize = 16 * 1024;
/// Sockets are pinged in so many parts of the interval.
pub const SPOKES: usize = 32;

/// A socket's name. The generation tells it from those that had its place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    slot: u32,
    generation: u32,
}

/// Who left: of which hall, with which number.
pub struct Left {
    pub hall: u64,
    pub number: Number,
    pub key: Key,
}

pub struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    registry: Registry,
    desk: Desk,
}

struct Slot {
    generation: u32,
    talk: Option<Talk>,
}

/// What all sockets of a shard are served with.
struct Desk {
    frames: FrameMaker,
    buffer: Box<[u8]>,
    alarms: BinaryHeap<Reverse<(Instant, Key, Alarm)>>,
    wishes: Vec<(Key, Wish)>,
    left: Vec<Left>,
    write_timeout: Duration,
}

/// What a socket has to be looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// It may have been full for too long.
    Full,
    /// The farewell is over.
    Farewell,
    ClaimAgain,
}

/// A conversation over one socket.
struct Talk {
    wire: Wire,
    visit: Visit,
    hearing: Hearing,
    pulse: Pulse,
    /// A wish is with the store; what was heard after it.
    asking: Option<VecDeque<Heard>>,
    /// The close is said; bytes thrown away since.
    farewell: Option<u32>,
}

/// The signs of life of one socket.
#[derive(Debug, Default)]
struct Pulse {
    sent: u32,
    /// Nothing was heard since the beat's last ping.
    silent: bool,
    /// Any answer to a ping from this one on is the claim.
    claim_from: Option<u32>,
}

/// Whether a socket is still there after something was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
enum Fate {
    Stays,
    Gone,
}

impl Sockets {
    pub fn new(registry: Registry, write_timeout: Duration) -> Self {
        let desk = Desk {
            frames: FrameMaker::default(),
            buffer: vec![0; READ_BYTES].into(),
            alarms: BinaryHeap::new(),
            wishes: Vec::new(),
            left: Vec::new(),
            write_timeout,
        };
        Self { slots: Vec::new(), free: Vec::new(), registry, desk }
    }

    /// Takes a socket in. What the visitor sent with the handshake is heard by [`Self::hear`].
    pub fn add(&mut self, stream: std::net::TcpStream, visit: Visit) -> io::Result<Key> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { generation: 0, talk: None });
                (self.slots.len() - 1) as u32
            }
        };
        let place = &mut self.slots[slot as usize];
        let key = Key { slot, generation: place.generation };
        let mut wire = Wire::new(mio::net::TcpStream::from_std(stream));
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(wire.stream(), key.token(), interest) {
            self.free.push(slot);
            return Err(error);
        }
        place.talk = Some(Talk {
            wire,
            visit,
            hearing: Hearing::default(),
            pulse: Pulse::default(),
            asking: None,
            farewell: None,
        });
        Ok(key)
    }

    /// True when an unsent older figure was replaced.
    pub fn put(&mut self, key: Key, outgoing: Outgoing) -> bool {
        let mut replaced = false;
        self.with(key, |talk, desk| talk.put(key, outgoing, desk, &mut replaced));
        replaced
    }

    /// Bytes that came before the socket did.
    pub fn hear(&mut self, key: Key, bytes: &[u8]) {
        self.with(key, |talk, desk| talk.hear(key, bytes, desk));
    }

    /// The socket has something for us, or takes more.
    pub fn ready(&mut self, key: Key) {
        self.with(key, |talk, desk| match talk.drain(key, desk) {
            Fate::Stays => talk.read(key, desk),
            Fate::Gone => Fate::Gone,
        });
    }

    /// The store has answered.
    pub fn granted(&mut self, key: Key, granted: Granted) {
        self.with(key, |talk, desk| talk.granted(key, granted, desk));
    }

    /// Asks every socket of this spoke for a sign of life, and drops those that gave none since the last time.
    pub fn beat(&mut self, spoke: usize) {
        for slot in (spoke % SPOKES..self.slots.len()).step_by(SPOKES) {
            let key = Key { slot: slot as u32, generation: self.slots[slot].generation };
            self.with(key, |talk, desk| {
                if talk.farewell.is_some() {
                    return Fate::Stays;
                }
                // Only a ping of the beat leaves a whole interval for the answer.
                if std::mem::replace(&mut talk.pulse.silent, true) {
                    return Fate::Gone;
                }
                talk.ping(key, desk)
            });
        }
    }

    /// When the next alarm is.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.desk.alarms.peek().map(|Reverse((at, ..))| *at)
    }

    /// Looks at those whose alarm is due.
    pub fn ring(&mut self, now: Instant) {
        while let Some(Reverse((at, key, alarm))) = self.desk.alarms.peek().copied() {
            if at > now {
                return;
            }
            self.desk.alarms.pop();
            self.with(key, |talk, desk| talk.ring(key, alarm, desk));
        }
    }

    /// What visitors want of the store.
    pub fn take_wishes(&mut self) -> Vec<(Key, Wish)> {
        std::mem::take(&mut self.desk.wishes)
    }

    /// Who left since the last time.
    pub fn take_left(&mut self) -> Vec<Left> {
        std::mem::take(&mut self.desk.left)
    }

    pub fn visit(&self, key: Key) -> Option<&Visit> {
        let slot = self.slots.get(key.slot as usize).filter(|slot| slot.generation == key.generation);
        slot?.talk.as_ref().map(|talk| &talk.visit)
    }

    /// Does something with a socket if it is still there, and removes it if that was its end.
    fn with(&mut self, key: Key, act: impl FnOnce(&mut Talk, &mut Desk) -> Fate) {
        let slot = self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation);
        let Some(slot) = slot else { return };
        let Some(talk) = &mut slot.talk else { return };
        if act(talk, &mut self.desk) == Fate::Stays {
            return;
        }
        if let Some(mut talk) = slot.talk.take() {
            if talk.farewell.is_none() {
                self.desk.leaves(key, &talk.visit);
            }
            // Before its descriptor is closed and given to somebody else.
            let _ = self.registry.deregister(talk.wire.stream());
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot);
        }
    }
}

impl Key {
    /// The name under which the poll knows a socket; [`Key::of`] finds it again.
    fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.slot as usize)
    }

    pub fn of(token: Token) -> Self {
        Self { slot: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

impl Desk {
    fn leaves(&mut self, key: Key, visit: &Visit) {
        self.left.push(Left { hall: visit.hall.id, number: visit.ticket.number, key });
    }

    fn alarm(&mut self, after: Duration, key: Key, alarm: Alarm) {
        self.alarms.push(Reverse((Instant::now() + after, key, alarm)));
    }
}

impl Talk {
    fn put(&mut self, key: Key, outgoing: Outgoing, desk: &mut Desk, replaced: &mut bool) -> Fate {
        if self.farewell.is_some() {
            return Fate::Stays;
        }
        if self.wire.is_full() {
            *replaced = self.wire.keep(outgoing);
            return Fate::Stays;
        }
        self.tell(key, outgoing, desk)
    }

    fn tell(&mut self, key: Key, outgoing: Outgoing, desk: &mut Desk) -> Fate {
        match outgoing {
            // What is said a hundred thousand times a second takes the short way.
            Outgoing::Figures(view) => {
                let sent = self.wire.send(desk.frames.message(&ServerMessage::from(view)));
                self.after(sent, key, desk)
            }
            other => {
                let word = self.visit.word(other);
                self.say(key, word, desk)
            }
        }
    }

    fn say(&mut self, key: Key, word: Word, desk: &mut Desk) -> Fate {
        match word {
            Word::Silence => Fate::Stays,
            Word::Say(text) => self.text(key, &text, desk),
            Word::Admit(text) => {
                if self.text(key, &text, desk) == Fate::Gone {
                    return Fate::Gone;
                }
                if self.visit.unclaimed().is_none() {
                    return Fate::Stays;
                }
                self.pulse.claim_from = Some(self.pulse.sent.wrapping_add(1));
                self.ping(key, desk)
            }
            Word::End(text) => self.last(key, Some(&text), 1000, desk),
            Word::Fail(text, code) => self.last(key, Some(&text), code, desk),
            Word::Away => self.last(key, None, 1012, desk),
        }
    }

    fn text(&mut self, key: Key, text: &str, desk: &mut Desk) -> Fate {
        let sent = self.wire.send(desk.frames.text(text));
        self.after(sent, key, desk)
    }

    fn ping(&mut self, key: Key, desk: &mut Desk) -> Fate {
        self.pulse.sent = self.pulse.sent.wrapping_add(1);
        let sent = self.wire.send(desk.frames.ping(self.pulse.sent.to_be_bytes()));
        self.after(sent, key, desk)
    }

    /// Says the last words and closes; then listens for a moment, without keeping anything.
    fn last(&mut self, key: Key, text: Option<&str>, code: u16, desk: &mut Desk) -> Fate {
        if text.is_some_and(|text| self.text(key, text, desk) == Fate::Gone) {
            return Fate::Gone;
        }
        self.farewell = Some(0);
        desk.leaves(key, &self.visit);
        desk.alarm(FAREWELL, key, Alarm::Farewell);
        match self.wire.send(desk.frames.close(code)) {
            Sent::All => {
                self.wire.shut_down();
                Fate::Stays
            }
            Sent::Partly => Fate::Stays,
            Sent::Gone => Fate::Gone,
        }
    }

    fn after(&mut self, sent: Sent, key: Key, desk: &mut Desk) -> Fate {
        match sent {
            Sent::All => Fate::Stays,
            Sent::Partly => {
                desk.alarm(desk.write_timeout, key, Alarm::Full);
                Fate::Stays
            }
            Sent::Gone => Fate::Gone,
        }
    }

    /// Says on what a full socket could not take.
    fn drain(&mut self, key: Key, desk: &mut Desk) -> Fate {
        while self.wire.is_full() {
            match self.wire.flush() {
                Sent::All => {}
                Sent::Partly => return Fate::Stays,
                Sent::Gone => return Fate::Gone,
            }
            if self.farewell.is_some() {
                self.wire.shut_down();
                return Fate::Stays;
            }
            if let Some(outgoing) = self.wire.next()
                && self.tell(key, outgoing, desk) == Fate::Gone
            {
                return Fate::Gone;
            }
        }
        Fate::Stays
    }

    fn read(&mut self, key: Key, desk: &mut Desk) -> Fate {
        // What comes while the store is asked waits in the socket: it is read when the answer is there.
        while self.asking.is_none() {
            let read = match self.wire.read(&mut desk.buffer) {
                None => break,
                Some(Ok(0) | Err(_)) => return Fate::Gone,
                Some(Ok(read)) => read,
            };
            if let Some(thrown_away) = &mut self.farewell {
                *thrown_away = thrown_away.saturating_add(read as u32);
                if *thrown_away > FAREWELL_BYTES {
                    return Fate::Gone;
                }
                continue;
            }
            // Lent for a moment: what is heard needs the desk too.
            let buffer = std::mem::take(&mut desk.buffer);
            let fate = self.hear(key, &buffer[..read], desk);
            desk.buffer = buffer;
            if fate == Fate::Gone {
                return Fate::Gone;
            }
        }
        Fate::Stays
    }

    fn hear(&mut self, key: Key, bytes: &[u8], desk: &mut Desk) -> Fate {
        let mut heard = VecDeque::new();
        let answer = self.hearing.take(bytes, |one| heard.push_back(one));
        if !answer.is_empty() {
            let sent = self.wire.send(&answer);
            if self.after(sent, key, desk) == Fate::Gone {
                return Fate::Gone;
            }
        }
        self.heed(key, heard, desk)
    }

    /// Acts upon what was heard, up to the first wish: what comes after it waits for the answer.
    fn heed(&mut self, key: Key, mut heard: VecDeque<Heard>, desk: &mut Desk) -> Fate {
        while let Some(one) = heard.pop_front() {
            self.pulse.silent = false;
            let wish = match one {
                Heard::Alive => None,
                Heard::Pong(answered) => self.claim_by(answered),
                Heard::Message(message) => Some(Wish::from(message)),
                Heard::Unknown => return self.say(key, fail("unknown_message", 1008), desk),
                Heard::TooLarge => return self.say(key, fail("message_too_large", 1009), desk),
                Heard::NotUtf8 => return self.say(key, fail("unknown_message", 1007), desk),
                Heard::Broken => return self.last(key, None, 1002, desk),
                Heard::Closed => return Fate::Gone,
            };
            if let Some(wish) = wish {
                desk.wishes.push((key, wish));
                self.asking = Some(heard);
                return Fate::Stays;
            }
        }
        Fate::Stays
    }

    /// The claim, if this is the answer to a ping that came after `admitted`.
    fn claim_by(&mut self, answered: Option<u32>) -> Option<Wish> {
        let (answered, from) = (answered?, self.pulse.claim_from?);
        if !(from..=self.pulse.sent).contains(&answered) {
            return None;
        }
        self.pulse.claim_from = None;
        self.visit.unclaimed().map(Wish::Claim)
    }

    fn granted(&mut self, key: Key, granted: Granted, desk: &mut Desk) -> Fate {
        let later = self.asking.take().unwrap_or_default();
        if self.farewell.is_some() {
            return self.read(key, desk);
        }
        if granted == Granted::Unclaimed {
            desk.alarm(CLAIM_AGAIN, key, Alarm::ClaimAgain);
        }
        let word = self.visit.granted(granted);
        if self.say(key, word, desk) == Fate::Gone {
            return Fate::Gone;
        }
        if self.farewell.is_none() && self.heed(key, later, desk) == Fate::Gone {
            return Fate::Gone;
        }
        self.read(key, desk)
    }

    fn ring(&mut self, key: Key, alarm: Alarm, desk: &mut Desk) -> Fate {
        match alarm {
            Alarm::Farewell => Fate::Gone,
            Alarm::Full => match self.wire.stuck() {
                None => Fate::Stays,
                Some(stuck) if stuck >= desk.write_timeout => Fate::Gone,
                Some(stuck) => {
                    desk.alarm(desk.write_timeout.saturating_sub(stuck), key, Alarm::Full);
                    Fate::Stays
                }
            },
            Alarm::ClaimAgain => {
                if self.farewell.is_some() || self.visit.unclaimed().is_none() {
                    return Fate::Stays;
                }
                self.pulse.claim_from.get_or_insert(self.pulse.sent.wrapping_add(1));
                self.ping(key, desk)
            }
        }
    }
}
