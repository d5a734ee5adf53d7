//! Who is connected to a room on this node, and what each is to be told: from the events that happened and,
//! once a tick, from one walk along the line. Pure: it reads a room's state and puts words into links.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::control::Control;
use kernel::event::RoomFact;
use kernel::room::RoomState;
use kernel::session::Session;
use kernel::words::{EndReason, Number, Ranges, Timestamp};
use roaring::RoaringTreemap;

use crate::outbox::{Link, Outgoing};
use crate::view::{Change, View, change, warning};

/// The connected visitors of a room.
pub struct Seats<L> {
    beat: Beat,
    visitors: BTreeMap<Number, Visitor<L>>,
    /// Came or went since the last look at who is there.
    passed: RoaringTreemap,
    /// What everybody knows of the room.
    room: (Control, Option<Arc<str>>),
    /// The version the last sweep looked at; nothing to say while it stands and nobody was put off.
    swept: u64,
}

/// How often, and how early, a visitor is told something.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// Milliseconds between two figures on one connection at least.
    pub figures_ms: u64,
    /// See [`warning`].
    pub expiring_seconds: u64,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    pub told: u64,
    /// Unsent figures that were replaced by newer ones: slow readers.
    pub replaced: u64,
    /// Positions that would have grown, and were not told.
    pub grew: u64,
}

/// One visitor, over as many connections as there are tabs.
struct Visitor<L> {
    stage: Stage,
    tabs: Vec<Tab<L>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waits {
        lane: usize,
    },
    Inside(Session),
    /// Neither waits nor has a slot, and nobody said why.
    Missing,
}

struct Tab<L> {
    link: L,
    told: Option<View>,
    told_at_ms: u64,
    /// The figures changed too soon after the last ones; the next sweep tells them.
    put_off: bool,
    /// The end of the active time that was announced.
    warned_of: Option<Timestamp>,
}

impl<L: Link> Seats<L> {
    pub fn new(beat: Beat, state: &RoomState) -> Self {
        Self {
            beat,
            visitors: BTreeMap::new(),
            passed: RoaringTreemap::new(),
            room: word_of(state),
            swept: state.seq,
        }
    }

    /// Takes in a connection and tells it where its visitor stands. `at_ms` counts from any one moment on.
    pub fn seat(&mut self, number: Number, link: L, state: &RoomState, at_ms: u64) {
        let stage = stage_of(number, state);
        let view = view_of(number, stage, state);
        match (stage, view) {
            (Stage::Inside(session), _) => {
                link.put(Outgoing::Admitted(session));
            }
            (Stage::Waits { .. } | Stage::Missing, Some(view)) => {
                link.put(Outgoing::Figures(view));
            }
            (Stage::Waits { .. } | Stage::Missing, None) => {}
        }
        let (control, notice) = &self.room;
        if *control != Control::Open || notice.is_some() {
            link.put(Outgoing::Room { state: *control, notice: notice.clone() });
        }
        let tab = Tab { link, told: view, told_at_ms: at_ms, put_off: false, warned_of: None };
        let visitor =
            self.visitors.entry(number).or_insert_with(|| Visitor { stage, tabs: Vec::with_capacity(1) });
        // A second tab may come when the first has not yet heard; what tells the one tells the other then.
        if let (Stage::Inside(session), Stage::Waits { .. } | Stage::Missing) = (stage, visitor.stage) {
            visitor.tell(&Outgoing::Admitted(session));
        }
        visitor.stage = stage;
        visitor.tabs.push(tab);
        self.passed.insert(number);
    }

    /// Tells what an event changed for those who are here. `state` has followed the event, or is further on.
    pub fn follow(&mut self, fact: &RoomFact, state: &RoomState) {
        match fact {
            RoomFact::RoomStateChanged { .. } => self.tell_room(state),
            RoomFact::WaitingTokensDeparted { ranges, reason } => {
                self.connected(ranges).into_iter().for_each(|number| self.end(number, *reason));
            }
            RoomFact::ActiveTokensIssued { ranges, .. } => {
                self.connected(ranges).into_iter().for_each(|number| self.settle(number, state));
            }
            RoomFact::ActiveTokenClaimed { number, .. } | RoomFact::ActiveTokenRenewed { number, .. } => {
                self.settle(*number, state);
            }
            RoomFact::ActiveTokenReleased { number, reason } => self.end(*number, *reason),
            RoomFact::WaitingTokensReinstated { ranges, .. } => {
                for number in self.connected(ranges) {
                    if let Some(visitor) = self.visitors.get_mut(&number) {
                        visitor.stage = stage_of(number, state);
                    }
                }
            }
            RoomFact::RoomConfigured { .. }
            | RoomFact::RoomRebuilt { .. }
            | RoomFact::WaitingTokensIssued { .. }
            | RoomFact::RoomProgressed { .. } => {}
        }
    }

    /// Looks at everybody: events were missed.
    pub fn look_anew(&mut self, state: &RoomState) {
        self.tell_room(state);
        let numbers: Vec<Number> = self.visitors.keys().copied().collect();
        for number in numbers {
            self.settle(number, state);
            if let Some(visitor) = self.visitors.get_mut(&number)
                && !state.sessions.contains_key(&number)
            {
                visitor.stage = stage_of(number, state);
            }
        }
    }

    /// Those who are neither in line nor inside: only the store knows what became of them.
    pub fn missing(&self) -> impl Iterator<Item = Number> + '_ {
        self.visitors.iter().filter(|(_, visitor)| visitor.stage == Stage::Missing).map(|(number, _)| *number)
    }

    /// Tells a visitor that the ticket ended, and keeps no seat.
    pub fn end(&mut self, number: Number, reason: EndReason) {
        if let Some(visitor) = self.visitors.remove(&number) {
            visitor.tell(&Outgoing::Ended(reason));
            self.passed.insert(number);
        }
    }

    /// Asks a visitor to connect again, and keeps no seat.
    pub fn send_away(&mut self, number: Number) {
        if let Some(visitor) = self.visitors.remove(&number) {
            visitor.tell(&Outgoing::Away);
            self.passed.insert(number);
        }
    }

    /// Once a tick: forgets closed connections, announces ends of active times, and tells each who waits
    /// the own figures where they changed. `at_ms` is the clock of [`Self::seat`], which nobody sets back.
    pub fn sweep(&mut self, state: &RoomState, now: Timestamp, at_ms: u64) -> Swept {
        self.forget_closed();
        let (beat, active_seconds) = (self.beat, state.policy.active_seconds);
        let moved = std::mem::replace(&mut self.swept, state.seq) != state.seq;
        let mut swept = Swept::default();
        let mut waiting = Vec::with_capacity(self.visitors.len());
        for (number, visitor) in &mut self.visitors {
            match visitor.stage {
                Stage::Waits { lane } if moved || visitor.was_put_off() => {
                    waiting.push((lane, state.line.place(*number), visitor));
                }
                Stage::Inside(Session::Active { expires_at, .. }) => {
                    if let Some(seconds) = warning(expires_at, active_seconds, beat.expiring_seconds, now) {
                        swept.told += visitor.warn(expires_at, seconds);
                    }
                }
                Stage::Waits { .. } | Stage::Inside(Session::Called { .. }) | Stage::Missing => {}
            }
        }
        if state.control == Control::Prequeue {
            let view = prequeue_view(state);
            waiting.iter_mut().for_each(|(.., visitor)| visitor.show(view, beat, at_ms, &mut swept));
            return swept;
        }
        let (everyone, per_hour) = (state.line.waiting(), state.per_hour);
        // In order of place within a lane: then one walk along the line finds all positions.
        waiting.sort_unstable_by_key(|(lane, place, _)| (*lane, *place));
        for lane in waiting.chunk_by_mut(|one, next| one.0 == next.0) {
            let at = lane.first().map_or(0, |(lane, ..)| *lane);
            let places: Vec<Number> = lane.iter().map(|(_, place, _)| *place).collect();
            for ((.., visitor), position) in lane.iter_mut().zip(state.line.positions(at, places.into_iter()))
            {
                // Who just left the line hears of it by the event that is on its way.
                let Some(position) = position else { continue };
                visitor.show(View::waiting(position, everyone, per_hour), beat, at_ms, &mut swept);
            }
        }
        swept
    }

    /// Everybody who is here now or was since the last look.
    pub fn take_present(&mut self) -> RoaringTreemap {
        let mut present = std::mem::take(&mut self.passed);
        present.extend(self.visitors.keys());
        present
    }

    /// Sends everybody elsewhere.
    pub fn dismiss(&mut self) {
        std::mem::take(&mut self.visitors).into_values().for_each(|visitor| visitor.tell(&Outgoing::Away));
    }

    fn tell_room(&mut self, state: &RoomState) {
        let word = word_of(state);
        if self.room != word {
            self.room = word;
            let (state, notice) = self.room.clone();
            let outgoing = Outgoing::Room { state, notice };
            self.visitors.values().for_each(|visitor| visitor.tell(&outgoing));
        }
    }

    /// Brings a visitor's stage up to the session that the room knows of, if any, and admits who was called.
    fn settle(&mut self, number: Number, state: &RoomState) {
        let (Some(visitor), Some(session)) = (self.visitors.get_mut(&number), state.sessions.get(&number))
        else {
            return;
        };
        let more_time = match (visitor.stage, session) {
            (Stage::Waits { .. } | Stage::Missing, _) => true,
            (
                Stage::Inside(Session::Active { expires_at: old, .. }),
                Session::Active { expires_at: new, .. },
            ) => *new > old,
            // A claim gives what `admitted` already promised.
            (Stage::Inside(_), _) => false,
        };
        visitor.stage = Stage::Inside(*session);
        if more_time {
            visitor.tell(&Outgoing::Admitted(*session));
        }
    }

    /// Who of these numbers is connected. Ranges may be far longer than the list of those who are here.
    fn connected(&self, ranges: &Ranges) -> Vec<Number> {
        let runs = ranges.runs().iter();
        runs.flat_map(|[first, last]| self.visitors.range(*first..=*last))
            .map(|(number, _)| *number)
            .collect()
    }

    fn forget_closed(&mut self) {
        let passed = &mut self.passed;
        self.visitors.retain(|number, visitor| {
            visitor.tabs.retain(|tab| !tab.link.is_gone());
            if visitor.tabs.is_empty() {
                passed.insert(*number);
            }
            !visitor.tabs.is_empty()
        });
    }
}

impl<L: Link> Visitor<L> {
    fn tell(&self, outgoing: &Outgoing) {
        for tab in &self.tabs {
            tab.link.put(outgoing.clone());
        }
    }

    /// Announces the end of the active time to those tabs that have not heard of this end; how many.
    fn warn(&mut self, expires_at: Timestamp, seconds: u64) -> u64 {
        let mut told = 0;
        for tab in self.tabs.iter_mut().filter(|tab| tab.warned_of != Some(expires_at)) {
            tab.warned_of = Some(expires_at);
            tab.link.put(Outgoing::Expiring { seconds });
            told += 1;
        }
        told
    }

    /// Tells the figures to those tabs that know others and did not hear any just now.
    fn show(&mut self, view: View, beat: Beat, at_ms: u64, swept: &mut Swept) {
        for tab in &mut self.tabs {
            let rested = at_ms.saturating_sub(tab.told_at_ms) >= beat.figures_ms;
            match change(tab.told.as_ref(), &view) {
                Change::Same => tab.put_off = false,
                Change::Grew => swept.grew += 1,
                Change::Told if rested => {
                    swept.told += 1;
                    swept.replaced += u64::from(tab.link.put(Outgoing::Figures(view)));
                    (tab.told, tab.told_at_ms, tab.put_off) = (Some(view), at_ms, false);
                }
                Change::Told => tab.put_off = true,
            }
        }
    }

    fn was_put_off(&self) -> bool {
        self.tabs.iter().any(|tab| tab.put_off)
    }
}

fn word_of(state: &RoomState) -> (Control, Option<Arc<str>>) {
    (state.control, state.notice.as_deref().map(Arc::from))
}

fn stage_of(number: Number, state: &RoomState) -> Stage {
    match (state.sessions.get(&number), state.line.spot(number)) {
        (Some(session), _) => Stage::Inside(*session),
        (None, Some(spot)) => Stage::Waits { lane: spot.lane },
        (None, None) => Stage::Missing,
    }
}

fn prequeue_view(state: &RoomState) -> View {
    View::Prequeue { opens_at: state.policy.opens_at, waiting: state.line.waiting() }
}

fn view_of(number: Number, stage: Stage, state: &RoomState) -> Option<View> {
    match (stage, state.control) {
        (Stage::Inside(_) | Stage::Missing, _) => None,
        (Stage::Waits { .. }, Control::Prequeue) => Some(prequeue_view(state)),
        (Stage::Waits { .. }, Control::Open | Control::Paused | Control::Closed) => {
            let spot = state.line.spot(number)?;
            Some(View::waiting(spot.position, state.line.waiting(), state.per_hour))
        }
    }
}

#[cfg(test)]
mod tests;
