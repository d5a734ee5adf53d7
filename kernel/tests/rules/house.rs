//! A room and the services around it, in one place and one step at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel::admission::{share, slots_open};
use kernel::control::{self, Control, Order};
use kernel::event::RoomEvent;
use kernel::event::v1::Drawn;
use kernel::outflow::Outflow;
use kernel::policy::{LanePolicy, Policy, PrequeueOrder};
use kernel::presence::Attendance;
use kernel::room::{Call, Called, Fold, Join, Joined, Room, RoomState, Standing, Swapped};
use kernel::session::{Input, Next, Session, Terms, step};
use kernel::words::{Digest, EndReason, LaneName, Number, RoomId, Timestamp};
use proptest::sample::Index;

use crate::shadow::Shadow;
use crate::{Act, Wish};

const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const FAST: &str = "fast";

pub struct House {
    room: Room,
    first_policy: Policy,
    shadow: Shadow,
    now: Timestamp,
    events: Vec<RoomEvent>,
    away: BTreeSet<Number>,
    away_since: BTreeMap<Number, Timestamp>,
    attendance: Option<Attendance>,
    outflow: Outflow,
    visitors: HashMap<u8, Number>,
}

fn policy(lottery: bool) -> Policy {
    Policy {
        capacity: 5,
        admit_per_minute: None,
        active_seconds: 30,
        max_session_seconds: 80,
        claim_seconds: 10,
        grace_seconds: 20,
        max_waiting: None,
        opens_at: lottery.then(|| T0.plus_seconds(3600)),
        closes_at: None,
        prequeue: if lottery { PrequeueOrder::Lottery } else { PrequeueOrder::Fifo },
        lanes: Vec::new(),
        go_to: None,
    }
}

fn lanes(weight: u32) -> Vec<LanePolicy> {
    let lane = |name: &str, weight| LanePolicy { name: LaneName::parse(name).unwrap(), weight };
    vec![lane(LaneName::DEFAULT, 1), lane(FAST, weight)]
}

fn anybody(lane: &str) -> Join {
    Join { lane: LaneName::parse(lane).unwrap(), holding: None, visitor: None, key: None }
}

fn digest(kind: &str, visitor: u8) -> Option<Digest> {
    Some(Digest::of(&[kind.as_bytes(), &[visitor]]))
}

impl House {
    pub fn new(lottery: bool) -> Self {
        let first_policy = Policy { lanes: lanes(2), ..policy(lottery) };
        let room = Room::new(RoomId::parse("house").unwrap(), first_policy.clone(), None, T0);
        let mut house = Self {
            room,
            first_policy,
            shadow: Shadow::default(),
            now: T0,
            events: Vec::new(),
            away: BTreeSet::new(),
            away_since: BTreeMap::new(),
            attendance: None,
            outflow: Outflow::default(),
            visitors: HashMap::new(),
        };
        house.keep_events();
        house
    }

    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Join { count, mixed } => {
                let lane = |at| if *mixed && at % 3 == 0 { FAST } else { LaneName::DEFAULT };
                self.join(&(0..*count).map(|at| anybody(lane(at))).collect::<Vec<_>>());
            }
            Act::JoinKnown { visitor, key } => self.join_known(*visitor, *key),
            Act::JoinHolding(index) => self.join_holding(index),
            Act::Leave(index) => self.leave(index, EndReason::Left),
            Act::Revoke(index) => self.leave(index, EndReason::Revoked),
            Act::Claim(index) => self.with_session(index, Input::Claim),
            Act::Renew(index) => self.with_session(index, Input::Renew),
            Act::Pay(index) => self.with_session(index, Input::End(EndReason::Paid)),
            Act::Away(index) => {
                if let Some(number) = self.any_number(index)
                    && self.away.insert(number)
                {
                    self.away_since.insert(number, self.now);
                }
            }
            Act::Back(index) => {
                if let Some(number) = self.any_number(index) {
                    self.away.remove(&number);
                }
            }
            Act::Tick { ms } => self.tick(*ms),
            Act::LateCall { capacity } => self.late_call(*capacity),
            Act::Configure { capacity, rate, weight, most } => {
                let policy = Policy {
                    capacity: *capacity,
                    admit_per_minute: *rate,
                    max_waiting: *most,
                    lanes: lanes(*weight),
                    ..self.room.state().policy.clone()
                };
                self.room.configure(&policy, self.now);
            }
            Act::Order(order) => self.order(*order),
            Act::Restart => self.attendance = None,
        }
        self.keep_events();
    }

    /// The rules that hold at any moment.
    pub fn check(&mut self) {
        let state = self.room.state();
        assert_eq!(state.issued, self.shadow.issued);
        assert_eq!(state.active(), self.shadow.slots.len() as u64);
        assert_eq!(state.line.waiting(), self.shadow.waiting());
        assert_eq!(state.called, self.shadow.called.len() as u64);
        assert_eq!(state.faults(), [], "nobody is lost, and nobody counts twice");
        for number in &self.shadow.slots {
            assert!(matches!(self.room.standing(*number), Standing::Session(_)), "{number} has a slot");
        }
        for (lane, (_, line)) in self.shadow.lanes.iter().enumerate() {
            let places: Vec<_> = line.iter().map(|number| state.line.place(*number)).collect();
            assert!(places.is_sorted());
            let swept = state.line.positions(lane, places.into_iter());
            for ((at, number), position) in line.iter().enumerate().zip(swept) {
                let expected = at as u64 + 1;
                assert_eq!(position, Some(expected), "{number} stands {expected} in its lane");
                if state.control == Control::Prequeue {
                    assert_eq!(state.standing(*number), Standing::Prequeue);
                    continue;
                }
                let told = self.shadow.told.insert(*number, expected);
                assert!(told.is_none_or(|told| expected <= told), "{number} fell back to {expected}");
            }
        }
    }

    fn join(&mut self, batch: &[Join]) -> Vec<Joined> {
        let (state, before) = (self.room.state(), self.shadow.waiting());
        let (control, most) = (state.control, state.policy.max_waiting.unwrap_or(u64::MAX));
        let joined = self.room.join(batch, self.now);
        for (join, joined) in batch.iter().zip(&joined) {
            match joined {
                Joined::New(number) => {
                    assert!(control != Control::Closed && self.shadow.waiting() < most);
                    self.shadow.arrive(join.lane.as_str(), *number);
                }
                Joined::Held(number) => assert!(self.shadow.holds(*number)),
                Joined::Closed => assert_eq!(control, Control::Closed),
                Joined::Full => assert!(self.shadow.waiting() >= most, "{before} waited, {most} may"),
                Joined::Revoked | Joined::Conflict => {}
            }
        }
        joined
    }

    /// A visitor is given the place they hold, and another only when that one has ended.
    fn join_known(&mut self, visitor: u8, key: bool) {
        let held = self.visitors.get(&visitor).copied();
        let key = key.then(|| digest("key", visitor)).flatten();
        let join = Join { visitor: digest("visitor", visitor), key, ..anybody(LaneName::DEFAULT) };
        let joined = self.join(&[join])[0];
        match joined {
            Joined::New(number) => {
                assert!(held.is_none_or(|held| !self.shadow.holds(held)), "{visitor} got a second place");
                self.visitors.insert(visitor, number);
            }
            Joined::Held(number) => assert_eq!(Some(number), held),
            Joined::Revoked => {
                let ended = held.and_then(|held| self.shadow.ended.get(&held));
                assert_eq!(ended, Some(&EndReason::Revoked));
            }
            Joined::Closed | Joined::Full => assert!(held.is_none_or(|held| !self.shadow.holds(held))),
            Joined::Conflict => panic!("{visitor} named one place only"),
        }
    }

    fn join_holding(&mut self, index: &Index) {
        let Some(number) = self.any_number(index) else { return };
        let (held, ended) = (self.shadow.holds(number), self.shadow.ended.get(&number).copied());
        let joined = self.join(&[Join { holding: Some(number), ..anybody(LaneName::DEFAULT) }])[0];
        match joined {
            Joined::Held(again) => assert!(held && again == number),
            Joined::Revoked => assert_eq!(ended, Some(EndReason::Revoked)),
            Joined::New(_) | Joined::Closed | Joined::Full => assert!(!held, "{number} was lost"),
            Joined::Conflict => panic!("one ticket names one place"),
        }
    }

    fn leave(&mut self, index: &Index, reason: EndReason) {
        let Some(number) = self.any_number(index) else { return };
        if let Some(session) = self.room.state().sessions.get(&number).copied() {
            return self.swap(number, session, Next::Ended(reason));
        }
        let waited = self.shadow.waits(number);
        let gone = self.room.depart(&[number].into_iter().collect(), reason, self.now);
        assert_eq!(gone.count() == 1, waited);
        if waited {
            self.shadow.end(number, reason);
        }
    }

    fn with_session(&mut self, index: &Index, input: Input) {
        let sessions = &self.room.state().sessions;
        if sessions.is_empty() {
            return;
        }
        let (number, session) = sessions.iter().nth(index.index(sessions.len())).unwrap();
        let (number, session) = (*number, *session);
        match step(session, input, self.terms(), self.now) {
            Ok(next) => self.swap(number, session, next),
            Err(_) => assert!(session.due_at() <= self.now, "refused before its time"),
        }
    }

    /// Swaps, and sees that the same swap does nothing a second time.
    fn swap(&mut self, number: Number, from: Session, next: Next) {
        assert_eq!(self.room.swap_session(number, from, next, self.now), Swapped::Done);
        match next {
            Next::Same => {}
            Next::Claimed(session) | Next::Renewed(session) => {
                assert_eq!(self.room.state().sessions.get(&number), Some(&session));
            }
            Next::Ended(reason) => {
                self.shadow.end(number, reason);
                let again = self.room.swap_session(number, from, next, self.now);
                assert_eq!(again, Swapped::Other(None), "a slot is released once");
            }
        }
    }

    fn tick(&mut self, ms: u64) {
        self.now = self.now.plus_millis(ms);
        self.admit();
        self.sweep();
        self.admit();
        let state = self.room.state();
        self.outflow.observe(self.now, 0, state.line.waiting() > 0);
        let rate = self.outflow.per_hour(&state.policy);
        self.room.progress(rate, self.now);
        assert!(!self.room.progress(rate, self.now), "progress is told once a change");
    }

    /// What active-queue does: until nobody else may enter.
    fn admit(&mut self) {
        loop {
            let seen = self.room.state().room_counts();
            let slots = slots_open(&seen.counts, self.now);
            if slots == 0 {
                break;
            }
            let call = self.decided(slots);
            assert!(self.call(&call), "nobody else called");
        }
        let state = self.room.state();
        let paced = state.policy.admit_per_minute.is_some();
        let idle = state.control != Control::Open || state.line.waiting() == 0;
        assert!(idle || paced || state.active() >= state.policy.capacity, "a free slot was not offered");
    }

    fn decided(&self, slots: u64) -> Call {
        let seen = self.room.state().room_counts();
        let per_lane = share(slots, &seen.counts.lanes);
        assert_eq!(per_lane.iter().sum::<u64>(), slots.min(self.shadow.waiting()), "lanes share all slots");
        Call {
            per_lane,
            called_before: seen.called,
            active_max: seen.counts.capacity,
            claim_by: self.now.plus_seconds(seen.policy.claim_seconds),
        }
    }

    /// False when the race was lost.
    fn call(&mut self, call: &Call) -> bool {
        let before = self.shadow.slots.len() as u64;
        let capacity = self.room.state().policy.capacity;
        match self.room.call_next(call, self.now) {
            Called::Numbers(numbers) => {
                let expected = self.shadow.call(&call.per_lane);
                assert_eq!(numbers.numbers().collect::<Vec<_>>(), expected, "the call follows the line");
                assert_eq!(self.room.state().control, Control::Open);
                let active = self.shadow.slots.len() as u64;
                assert!(expected.is_empty() || active <= capacity, "{before} to {active} of {capacity}");
                true
            }
            Called::LostRace => false,
        }
    }

    fn late_call(&mut self, capacity: u64) {
        let slots = slots_open(&self.room.state().counts(), self.now);
        let call = self.decided(slots);
        let policy = Policy { capacity, ..self.room.state().policy.clone() };
        self.room.configure(&policy, self.now);
        if self.call(&call) && slots > 0 {
            assert!(!self.call(&call), "one decision calls once");
        }
    }

    /// What expiration does.
    fn sweep(&mut self) {
        let state = self.room.state();
        if state.control == Control::Prequeue {
            self.attendance = None;
            return;
        }
        let present = (1..=state.issued).filter(|number| !self.away.contains(number)).collect();
        let attendance = self.attendance.get_or_insert_with(|| Attendance::new(self.now));
        attendance.observe(state.issued, &present, self.now);
        let (grace, claim) = (state.policy.grace_seconds, state.policy.claim_seconds);
        let gone = attendance.gone(state, grace, self.now);
        let due = self.room.due(self.now, usize::MAX);
        let until = |number, session| match session {
            Session::Called { claim_by } => attendance.claim_until(number, claim_by, claim, grace),
            Session::Active { .. } => Timestamp::MAX,
        };
        let due: Vec<_> =
            due.into_iter().map(|(number, session)| (number, session, until(number, session))).collect();
        let left = self.room.depart(&gone, EndReason::NoShow, self.now);
        for number in left.numbers() {
            let since = self.away_since.get(&number).expect("who is ended for absence went away");
            assert!(self.away.contains(&number) && self.now.since(*since) >= grace * 1000, "ended early");
            self.shadow.end(number, EndReason::NoShow);
        }
        for (number, session, claim_until) in due {
            let next = step(session, Input::Sweep { claim_until }, self.terms(), self.now).unwrap();
            self.swap(number, session, next);
        }
    }

    fn order(&mut self, order: Order) {
        let state = self.room.state();
        let (from, issued) = (state.control, state.issued);
        let Ok(to) = control::step(from, order) else { return };
        let lottery = from == Control::Prequeue && state.policy.prequeue == PrequeueOrder::Lottery;
        let drawn = (lottery && to == Control::Open).then(|| Drawn {
            frozen: issued,
            secret: "ab".repeat(32),
            list_root: "cd".repeat(32),
            beacon: None,
        });
        let is_drawn = drawn.is_some();
        assert!(self.room.control(from, to, drawn, self.now));
        if is_drawn {
            let line = &self.room.state().line;
            for (_, lane) in &mut self.shadow.lanes {
                lane.make_contiguous().sort_by_key(|number| line.place(*number));
            }
        }
        if to == Control::Closed {
            let waiting: Vec<_> = self.shadow.lanes.iter().flat_map(|(_, line)| line.clone()).collect();
            waiting.into_iter().for_each(|number| self.shadow.end(number, EndReason::RoomClosed));
        }
    }

    /// Rule 6: with the room open, room for one and everyone's slot given back, the line empties, in order.
    pub fn everyone_who_stays_is_called(mut self) {
        if self.room.state().control == Control::Prequeue {
            self.order(Order::Open);
        } else if self.room.state().control == Control::Paused {
            self.order(Order::Resume);
        }
        let policy = Policy { capacity: 40, admit_per_minute: None, ..self.room.state().policy.clone() };
        self.room.configure(&policy, self.now);
        let waiting: BTreeSet<_> =
            self.shadow.lanes.iter().flat_map(|(_, line)| line.iter().copied()).collect();
        let rounds = waiting.len() / 40 + 2;
        for _ in 0..rounds {
            self.admit();
            let sessions = self.room.state().sessions.clone();
            sessions.into_iter().for_each(|(number, session)| {
                self.swap(number, session, Next::Ended(EndReason::Paid));
            });
            self.keep_events();
        }
        self.check();
        for (number, reason) in &self.shadow.ended {
            assert_eq!(self.room.standing(*number), Standing::Ended(*reason));
        }
        assert_eq!(self.shadow.waiting(), 0);
        assert!(waiting.is_subset(&self.shadow.called), "somebody who stayed was never called");
    }

    pub fn joins_alike(&self, wishes: &[Wish]) {
        let join = |wish: &Wish| Join {
            holding: wish.holding.as_ref().and_then(|index| self.any_number(index)),
            visitor: wish.visitor.and_then(|visitor| digest("visitor", visitor)),
            key: wish.key.and_then(|key| digest("key", key)),
            ..anybody(LaneName::DEFAULT)
        };
        let batch: Vec<_> = wishes.iter().map(join).collect();
        let (mut at_once, mut in_turn) = (self.room.clone(), self.room.clone());
        let answers = at_once.join(&batch, self.now);
        let single: Vec<_> =
            batch.iter().map(|join| in_turn.join(std::slice::from_ref(join), self.now)[0]).collect();
        assert_eq!(answers, single);
        assert_eq!(at_once.state().line, in_turn.state().line);
    }

    pub fn rebuilds_from_its_events(&self) {
        let mut again = Room::from_first(&self.events[0]).expect("the first event configures the room");
        self.events[1..].iter().for_each(|event| again.apply(event));
        self.is_the_same(&again);
    }

    pub fn survives_being_written_down(&mut self) {
        let written = rmp_serde::to_vec_named(&self.room).unwrap();
        let mut again: Room = rmp_serde::from_slice(&written).unwrap();
        self.is_the_same(&again);
        // And it goes on alike.
        let batch = [anybody(FAST), anybody(LaneName::DEFAULT)];
        assert_eq!(again.join(&batch, self.now), self.room.join(&batch, self.now));
        assert_eq!(again.state(), self.room.state());
        let text = serde_json::to_string(self.room.state()).unwrap();
        assert_eq!(&serde_json::from_str::<RoomState>(&text).unwrap(), self.room.state());
    }

    /// A node that copies the room at some version and then hears everything, each event twice.
    pub fn follows_from(&self, from: Index) {
        let start = from.index(self.events.len());
        let mut copy = RoomState::new(self.room.state().id.clone(), self.first_policy.clone(), T0);
        self.events[..=start].iter().for_each(|event| assert_eq!(copy.apply(event), Fold::Applied));
        if let Some(later) = self.events.get(start + 2) {
            assert_eq!(copy.apply(later), Fold::Gap);
        }
        for event in &self.events {
            let old = event.seq <= copy.seq;
            assert_eq!(copy.apply(event), if old { Fold::Old } else { Fold::Applied });
            assert_eq!(copy.apply(event), Fold::Old);
        }
        assert_eq!(&copy, self.room.state());
    }

    fn is_the_same(&self, again: &Room) {
        assert_eq!(again.state(), self.room.state());
        for number in 0..=self.shadow.issued + 1 {
            assert_eq!(again.standing(number), self.room.standing(number));
        }
        let written = |room: &Room| serde_json::to_value(room).unwrap();
        assert_eq!(written(again), written(&self.room), "who is known by what, and how each ended");
    }

    fn any_number(&self, index: &Index) -> Option<Number> {
        (self.shadow.issued > 0).then(|| index.index(self.shadow.issued as usize) as Number + 1)
    }

    fn terms(&self) -> Terms {
        Terms::from(&self.room.state().policy)
    }

    fn keep_events(&mut self) {
        for event in self.room.take_events() {
            assert_eq!(event.seq, self.events.len() as u64 + 1, "one order over all events of a room");
            self.events.push(event);
        }
    }
}
