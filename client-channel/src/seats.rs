//! Who is connected to a room in this shard, and what each is to be told: from the events that happened and,
//! once a tick, from one walk along the line, a part at a time. Pure: it reads a room's state and says words.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use kernel::control::Control;
use kernel::event::RoomFact;
use kernel::room::RoomState;
use kernel::session::Session;
use kernel::words::{EndReason, Number, Ranges, Timestamp};
use roaring::RoaringTreemap;
use smallvec::SmallVec;

use crate::cadence::{Cadence, Load, NEAR};
use crate::outbox::Outgoing;
use crate::view::{Change, View, change, warning};

/// What connections are to be told, in this order.
pub type Words<L> = Vec<(L, Outgoing)>;

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
    sweep: Option<Sweep>,
}

/// How often, and how early, a visitor is told something.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// Milliseconds between two figures on one connection at least.
    pub figures_ms: u64,
    /// See [`warning`].
    pub expiring_seconds: u64,
}

/// A sweep under way.
#[derive(Debug)]
struct Sweep {
    /// The next part begins behind this number.
    behind: Number,
    /// Something happened in the room since the sweep before.
    moved: bool,
    swept: Swept,
}

/// What a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    pub load: Load,
    /// Positions that would have grown, and were not told.
    pub grew: u64,
    /// Those who are neither in line nor inside: only the store knows what became of them.
    pub missing: Vec<Number>,
}

/// One visitor, over as many connections as there are tabs.
struct Visitor<L> {
    stage: Stage,
    tabs: SmallVec<[Tab<L>; 1]>,
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
    /// The figures may have changed when it was not time to tell them; a later sweep does.
    put_off: bool,
    /// The end of the active time that was announced.
    warned_of: Option<Timestamp>,
}

impl<L: Clone> Seats<L> {
    pub fn new(beat: Beat, state: &RoomState) -> Self {
        Self {
            beat,
            visitors: BTreeMap::new(),
            passed: RoaringTreemap::new(),
            room: word_of(state),
            swept: state.seq,
            sweep: None,
        }
    }

    /// Takes in a connection and tells it where its visitor stands. `at_ms` counts from any one moment on.
    pub fn seat(&mut self, words: &mut Words<L>, number: Number, link: L, state: &RoomState, at_ms: u64) {
        let stage = stage_of(number, state);
        let view = view_of(number, stage, state);
        match (stage, view) {
            (Stage::Inside(session), _) => {
                words.push((link.clone(), Outgoing::Admitted(session)));
            }
            (Stage::Waits { .. } | Stage::Missing, Some(view)) => {
                words.push((link.clone(), Outgoing::Figures(view)));
            }
            (Stage::Waits { .. } | Stage::Missing, None) => {}
        }
        let (control, notice) = &self.room;
        if *control != Control::Open || notice.is_some() {
            words.push((link.clone(), Outgoing::Room { state: *control, notice: notice.clone() }));
        }
        let tab = Tab { link, told: view, told_at_ms: at_ms, put_off: false, warned_of: None };
        let visitor = self.visitors.entry(number).or_insert_with(|| Visitor { stage, tabs: SmallVec::new() });
        // A second tab may come when the first has not yet heard; what tells the one tells the other then.
        if let (Stage::Inside(session), Stage::Waits { .. } | Stage::Missing) = (stage, visitor.stage) {
            visitor.tell(words, &Outgoing::Admitted(session));
        }
        visitor.stage = stage;
        visitor.tabs.push(tab);
        self.passed.insert(number);
    }

    /// A connection is no more.
    pub fn unseat(&mut self, number: Number, is_gone: impl Fn(&L) -> bool) {
        let Some(visitor) = self.visitors.get_mut(&number) else { return };
        visitor.tabs.retain(|tab| !is_gone(&tab.link));
        self.passed.insert(number);
        if visitor.tabs.is_empty() {
            self.visitors.remove(&number);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.visitors.is_empty()
    }

    /// Tells what an event changed for those who are here. `state` has followed the event, or is further on.
    pub fn follow(&mut self, words: &mut Words<L>, fact: &RoomFact, state: &RoomState) {
        match fact {
            RoomFact::RoomStateChanged { .. } => self.tell_room(words, state),
            RoomFact::WaitingTokensDeparted { ranges, reason } => {
                self.connected(ranges).into_iter().for_each(|number| self.end(words, number, *reason));
            }
            RoomFact::ActiveTokensIssued { ranges, .. } => {
                self.connected(ranges).into_iter().for_each(|number| self.settle(words, number, state));
            }
            RoomFact::ActiveTokenClaimed { number, .. } | RoomFact::ActiveTokenRenewed { number, .. } => {
                self.settle(words, *number, state);
            }
            RoomFact::ActiveTokenReleased { number, reason } => self.end(words, *number, *reason),
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
    pub fn look_anew(&mut self, words: &mut Words<L>, state: &RoomState) {
        self.tell_room(words, state);
        let numbers: Vec<Number> = self.visitors.keys().copied().collect();
        for number in numbers {
            self.settle(words, number, state);
            if let Some(visitor) = self.visitors.get_mut(&number)
                && !state.sessions.contains_key(&number)
            {
                visitor.stage = stage_of(number, state);
            }
        }
    }

    /// Tells a visitor that the ticket ended, and keeps no seat.
    pub fn end(&mut self, words: &mut Words<L>, number: Number, reason: EndReason) {
        if let Some(visitor) = self.visitors.remove(&number) {
            visitor.tell(words, &Outgoing::Ended(reason));
            self.passed.insert(number);
        }
    }

    /// Asks a visitor to connect again, and keeps no seat.
    pub fn send_away(&mut self, words: &mut Words<L>, number: Number) {
        if let Some(visitor) = self.visitors.remove(&number) {
            visitor.tell(words, &Outgoing::Away);
            self.passed.insert(number);
        }
    }

    /// Begins a sweep; one under way is given up.
    pub fn begin_sweep(&mut self, state: &RoomState) {
        let moved = std::mem::replace(&mut self.swept, state.seq) != state.seq;
        self.sweep = Some(Sweep { behind: 0, moved, swept: Swept::default() });
    }

    /// The next part of a sweep, `most` visitors: announces ends of active times, and tells each who waits the
    /// own figures where they changed and it is their turn. `at_ms` is the clock of [`Self::seat`], which nobody
    /// sets back. Answers what the sweep did when this was its last part.
    pub fn sweep_on(
        &mut self,
        words: &mut Words<L>,
        cadence: &Cadence,
        state: &RoomState,
        (now, at_ms): (Timestamp, u64),
        most: usize,
    ) -> Option<Swept> {
        let Sweep { behind, moved, mut swept } = self.sweep.take()?;
        let (beat, active_seconds) = (self.beat, state.policy.active_seconds);
        let (mut looked_at, mut last) = (0, behind);
        let mut waiting = Vec::with_capacity(most);
        let part = self.visitors.range_mut((Bound::Excluded(behind), Bound::Unbounded)).take(most);
        for (number, visitor) in part {
            (looked_at, last) = (looked_at + 1, *number);
            match visitor.stage {
                Stage::Waits { lane } => {
                    if visitor.is_due(*number, moved, cadence, &mut swept.load) {
                        waiting.push((lane, state.line.place(*number), visitor));
                    }
                }
                Stage::Inside(Session::Active { expires_at, .. }) => {
                    if let Some(seconds) = warning(expires_at, active_seconds, beat.expiring_seconds, now) {
                        swept.load.told += visitor.warn(words, expires_at, seconds);
                    }
                }
                Stage::Inside(Session::Called { .. }) => {}
                Stage::Missing => swept.missing.push(*number),
            }
        }
        show_places(waiting, state, |visitor, view| visitor.show(words, view, beat, at_ms, &mut swept));
        if looked_at < most {
            return Some(swept);
        }
        self.sweep = Some(Sweep { behind: last, moved, swept });
        None
    }

    /// Tells those next up where they stand now, unless they heard just now: they need not wait for a sweep.
    pub fn tell_next_up(&mut self, words: &mut Words<L>, state: &RoomState, at_ms: u64) -> Swept {
        let mut swept = Swept::default();
        if state.control == Control::Prequeue {
            return swept;
        }
        let (beat, waiting, per_hour) = (self.beat, state.line.waiting(), state.per_hour);
        for lane in 0..state.line.lanes().len() {
            for (position, number) in (1..).zip(state.line.front(lane, NEAR)) {
                if let Some(visitor) = self.visitors.get_mut(&number)
                    && matches!(visitor.stage, Stage::Waits { .. })
                {
                    let view = View::Waiting { position, waiting, per_hour };
                    visitor.show(words, view, beat, at_ms, &mut swept);
                }
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
    pub fn dismiss(&mut self, words: &mut Words<L>) {
        let visitors = std::mem::take(&mut self.visitors);
        visitors.into_values().for_each(|visitor| visitor.tell(words, &Outgoing::Away));
    }

    fn tell_room(&mut self, words: &mut Words<L>, state: &RoomState) {
        let word = word_of(state);
        if self.room != word {
            self.room = word;
            let (state, notice) = self.room.clone();
            let outgoing = Outgoing::Room { state, notice };
            self.visitors.values().for_each(|visitor| visitor.tell(words, &outgoing));
        }
    }

    /// Brings a visitor's stage up to the session that the room knows of, if any, and admits who was called.
    fn settle(&mut self, words: &mut Words<L>, number: Number, state: &RoomState) {
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
            visitor.tell(words, &Outgoing::Admitted(*session));
        }
    }

    /// Who of these numbers is connected. Ranges may be far longer than the list of those who are here.
    fn connected(&self, ranges: &Ranges) -> Vec<Number> {
        let runs = ranges.runs().iter();
        runs.flat_map(|[first, last]| self.visitors.range(*first..=*last))
            .map(|(number, _)| *number)
            .collect()
    }
}

impl<L: Clone> Visitor<L> {
    fn tell(&self, words: &mut Words<L>, outgoing: &Outgoing) {
        words.extend(self.tabs.iter().map(|tab| (tab.link.clone(), outgoing.clone())));
    }

    /// Announces the end of the active time to those tabs that have not heard of this end; how many.
    fn warn(&mut self, words: &mut Words<L>, expires_at: Timestamp, seconds: u64) -> u64 {
        let mut told = 0;
        for tab in self.tabs.iter_mut().filter(|tab| tab.warned_of != Some(expires_at)) {
            tab.warned_of = Some(expires_at);
            words.push((tab.link.clone(), Outgoing::Expiring { seconds }));
            told += 1;
        }
        told
    }

    /// Whether the figures are to be looked at in this sweep. Who is not due is when their turn comes, even if
    /// nothing more happens.
    fn is_due(&mut self, number: Number, moved: bool, cadence: &Cadence, load: &mut Load) -> bool {
        let position = self.tabs.iter().map(|tab| tab.position()).min().unwrap_or(NEAR);
        cadence.count(load, position);
        let wanted = moved || self.tabs.iter().any(|tab| tab.put_off);
        let due = wanted && cadence.is_due(number, position);
        if wanted && !due {
            self.tabs.iter_mut().for_each(|tab| tab.put_off = true);
        }
        due
    }

    /// Tells the figures to those tabs that know others and did not hear any just now.
    fn show(&mut self, words: &mut Words<L>, view: View, beat: Beat, at_ms: u64, swept: &mut Swept) {
        for tab in &mut self.tabs {
            let rested = at_ms.saturating_sub(tab.told_at_ms) >= beat.figures_ms;
            match change(tab.told.as_ref(), &view) {
                Change::Same => tab.put_off = false,
                Change::Grew => swept.grew += 1,
                Change::Told if rested => {
                    swept.load.told += 1;
                    words.push((tab.link.clone(), Outgoing::Figures(view)));
                    (tab.told, tab.told_at_ms, tab.put_off) = (Some(view), at_ms, false);
                }
                Change::Told => tab.put_off = true,
            }
        }
    }
}

impl<L> Tab<L> {
    /// As last told; who was told none is neither near nor far.
    fn position(&self) -> u64 {
        match self.told {
            Some(View::Waiting { position, .. }) => position,
            Some(View::Prequeue { .. }) | None => NEAR + 1,
        }
    }
}

/// Works out the figures of these who wait, in order of place within a lane: then one walk along the line finds
/// all positions.
fn show_places<L>(
    mut waiting: Vec<(usize, Number, &mut Visitor<L>)>,
    state: &RoomState,
    mut show: impl FnMut(&mut Visitor<L>, View),
) {
    if state.control == Control::Prequeue {
        return waiting.iter_mut().for_each(|(.., visitor)| show(visitor, prequeue_view(state)));
    }
    let (everyone, per_hour) = (state.line.waiting(), state.per_hour);
    waiting.sort_unstable_by_key(|(lane, place, _)| (*lane, *place));
    for lane in waiting.chunk_by_mut(|one, next| one.0 == next.0) {
        let at = lane.first().map_or(0, |(lane, ..)| *lane);
        let places: Vec<Number> = lane.iter().map(|(_, place, _)| *place).collect();
        for ((.., visitor), position) in lane.iter_mut().zip(state.line.positions(at, places.into_iter())) {
            // Who just left the line hears of it by the event that is on its way.
            let Some(position) = position else { continue };
            show(visitor, View::Waiting { position, waiting: everyone, per_hour });
        }
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
            Some(View::Waiting {
                position: spot.position,
                waiting: state.line.waiting(),
                per_hour: state.per_hour,
            })
        }
    }
}

#[cfg(test)]
mod tests;
