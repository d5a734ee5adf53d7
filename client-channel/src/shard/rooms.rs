//! The rooms of a shard: who of them sits here, and when they are swept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::event::Event;
use kernel::room::Standing;
use kernel::words::{Number, Timestamp};
use roaring::RoaringTreemap;

use super::{Line, News};
use crate::cadence::{Cadence, Load};
use crate::hall::Hall;
use crate::outbox::Outgoing;
use crate::seats::{Beat, Seats, Swept, Words};
use crate::sockets::Sockets;

/// Visitors looked at in one part of a sweep: some milliseconds of sending, in which nothing else is done here.
const PART: usize = 512;
/// Those next up hear of what happened within so long together.
const NEXT_UP_WITHIN: Duration = Duration::from_millis(20);
/// Visitors whose end is asked of the store at a time.
const MISSING: usize = 64;

/// How often whom.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub beat: Beat,
    pub tick: Duration,
    pub far_from: u64,
    pub pushes_per_second: u64,
}

pub struct Rooms {
    pace: Pace,
    cadence: Cadence,
    began: Instant,
    rooms: HashMap<u64, Here>,
    next_tick: Instant,
    /// The rooms that the sweep under way has still to go through, and what it did so far.
    sweeping: Option<Sweeping>,
    next_up_due: Option<Instant>,
}

/// A room of this shard.
struct Here {
    hall: Arc<Hall>,
    seats: Seats<Line>,
    /// Somebody was called or went since those next up were told.
    moved: bool,
    /// The store is being asked about those who are missing.
    asking: bool,
}

struct Sweeping {
    began: Instant,
    left: Vec<u64>,
    /// The last of `left` is under way.
    under_way: bool,
    load: Load,
}

impl Rooms {
    pub fn new(pace: Pace, now: Instant) -> Self {
        let cadence = Cadence::new(pace.far_from, pace.pushes_per_second, pace.tick);
        Self {
            pace,
            cadence,
            began: now,
            rooms: HashMap::new(),
            next_tick: now + pace.tick,
            sweeping: None,
            next_up_due: None,
        }
    }

    /// When there is something to do by itself.
    pub fn next_due(&self) -> Option<Instant> {
        let sweep = if self.sweeping.is_some() { self.began } else { self.next_tick };
        Some(self.next_up_due.map_or(sweep, |next_up| next_up.min(sweep)))
    }

    pub fn seat(&mut self, sockets: &mut Sockets, hall: &Arc<Hall>, number: Number, line: Line) {
        let at_ms = self.at_ms();
        let mut words = Words::new();
        let seated = hall.mirror.read(|state| {
            let here = self.rooms.entry(hall.id).or_insert_with(|| Here {
                hall: hall.clone(),
                seats: Seats::new(self.pace.beat, state),
                moved: false,
                asking: false,
            });
            here.seats.seat(&mut words, number, line.clone(), state, at_ms);
        });
        if seated.is_none() || hall.is_closed() {
            words.push((line, Outgoing::Away));
        }
        say(sockets, words);
    }

    pub fn unseat(&mut self, hall: u64, number: Number, is_gone: impl Fn(&Line) -> bool) {
        if let Some(here) = self.rooms.get_mut(&hall) {
            here.seats.unseat(number, is_gone);
        }
    }

    /// Tells what happened to those whom it concerns.
    pub fn hear(&mut self, sockets: &mut Sockets, hall: u64, news: &News) {
        let Some(here) = self.rooms.get_mut(&hall) else { return };
        let (mirror, mut words) = (here.hall.mirror.clone(), Words::new());
        mirror.read(|state| match news {
            News::Event(record) => {
                if let Event::Room(event) = &record.event {
                    here.seats.follow(&mut words, &event.fact, state);
                }
            }
            News::Anew => here.seats.look_anew(&mut words, state),
        });
        here.moved = true;
        self.next_up_due.get_or_insert_with(|| Instant::now() + NEXT_UP_WITHIN);
        say(sockets, words);
    }

    /// What the store says of those who were missing.
    pub fn found(&mut self, sockets: &mut Sockets, hall: u64, found: Vec<(Number, Standing)>) {
        let Some(here) = self.rooms.get_mut(&hall) else { return };
        here.asking = false;
        let mut words = Words::new();
        for (number, standing) in found {
            match standing {
                Standing::Ended(reason) => here.seats.end(&mut words, number, reason),
                // The store lost the number before it was told: the ticket has to be shown again.
                Standing::Unknown => here.seats.send_away(&mut words, number),
                // The mirror is behind: the next sweep finds it again.
                Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_) => {}
            }
        }
        say(sockets, words);
    }

    pub fn take_present(&mut self, hall: u64) -> RoaringTreemap {
        let Some(here) = self.rooms.get_mut(&hall) else { return RoaringTreemap::new() };
        let present = here.seats.take_present();
        if here.seats.is_empty() {
            self.rooms.remove(&hall);
        }
        present
    }

    pub fn close(&mut self, sockets: &mut Sockets, hall: u64) {
        if let Some(mut here) = self.rooms.remove(&hall) {
            let mut words = Words::new();
            here.seats.dismiss(&mut words);
            say(sockets, words);
        }
    }

    pub fn close_all(&mut self, sockets: &mut Sockets) {
        let halls: Vec<u64> = self.rooms.keys().copied().collect();
        halls.into_iter().for_each(|hall| self.close(sockets, hall));
    }

    /// Tells those next up in rooms where something happened.
    pub fn tell_next_up(&mut self, sockets: &mut Sockets, now: Instant) {
        if self.next_up_due.is_none_or(|due| now < due) {
            return;
        }
        self.next_up_due = None;
        let at_ms = self.at_ms();
        for here in self.rooms.values_mut().filter(|here| here.moved) {
            here.moved = false;
            let (mirror, mut words) = (here.hall.mirror.clone(), Words::new());
            let swept = mirror.read(|state| here.seats.tell_next_up(&mut words, state, at_ms));
            let replaced = say(sockets, words);
            count(&here.hall, &swept.unwrap_or_default(), replaced);
        }
    }

    /// Goes on with the sweep, or begins one when it is time; who is missing in which hall.
    pub fn sweep(
        &mut self,
        sockets: &mut Sockets,
        wall: Timestamp,
        now: Instant,
    ) -> Vec<(Arc<Hall>, Vec<Number>)> {
        if self.sweeping.is_none() {
            if now < self.next_tick {
                return Vec::new();
            }
            // A late sweep must not be followed by an early one: figures come at most once a tick.
            self.next_tick = now + self.pace.tick;
            let left = self.rooms.keys().copied().collect();
            self.sweeping = Some(Sweeping { began: now, left, under_way: false, load: Load::default() });
        }
        self.sweep_on(sockets, wall).into_iter().collect()
    }

    fn sweep_on(&mut self, sockets: &mut Sockets, wall: Timestamp) -> Option<(Arc<Hall>, Vec<Number>)> {
        let at_ms = self.at_ms();
        let sweeping = self.sweeping.as_mut()?;
        let Some(hall) = sweeping.left.last() else {
            let (load, took) = (sweeping.load, sweeping.began.elapsed());
            self.sweeping = None;
            self.cadence.swept(load, took, self.pace.tick);
            metrics::histogram!("turnline_channel_sweep_seconds").record(took.as_secs_f64());
            metrics::gauge!("turnline_channel_stretch").set(self.cadence.stretch() as f64);
            return None;
        };
        let Some(here) = self.rooms.get_mut(hall) else {
            sweeping.left.pop();
            sweeping.under_way = false;
            return None;
        };
        let (mirror, cadence, mut words) = (here.hall.mirror.clone(), &self.cadence, Words::new());
        let swept = mirror.read(|state| {
            if !std::mem::replace(&mut sweeping.under_way, true) {
                here.seats.begin_sweep(state);
            }
            here.seats.sweep_on(&mut words, cadence, state, (wall, at_ms), PART)
        });
        let replaced = say(sockets, words);
        if let Some(None) = swept {
            metrics::counter!("turnline_channel_replaced_total").increment(replaced);
            return None;
        }
        sweeping.left.pop();
        sweeping.under_way = false;
        let mut swept = swept.flatten().unwrap_or_default();
        sweeping.load.add(swept.load);
        count(&here.hall, &swept, replaced);
        if swept.missing.is_empty() || std::mem::replace(&mut here.asking, true) {
            return None;
        }
        swept.missing.truncate(MISSING);
        Some((here.hall.clone(), swept.missing))
    }

    /// Milliseconds since this shard began: paces figures, whatever becomes of the clock on the wall.
    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Says these words; how many unsent older figures were replaced.
fn say(sockets: &mut Sockets, words: Words<Line>) -> u64 {
    let mut replaced = 0;
    for (line, outgoing) in words {
        replaced += u64::from(match line {
            Line::Socket(key) => sockets.put(key, outgoing),
            Line::Stream(outbox) => outbox.put(outgoing),
        });
    }
    replaced
}

fn count(hall: &Hall, swept: &Swept, replaced: u64) {
    metrics::counter!("turnline_channel_pushes_total").increment(swept.load.told);
    metrics::counter!("turnline_channel_replaced_total").increment(replaced);
    if swept.grew > 0 {
        metrics::counter!("turnline_channel_position_grew_total").increment(swept.grew);
        let (room, times) = (hall.mirror.room(), swept.grew);
        tracing::error!(%room, times, "positions would have grown; they were not told");
    }
}
