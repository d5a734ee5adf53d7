//! What a shard says to whom, over a room that lives by its own events.

mod story;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use kernel::admission::share;
use kernel::control::Control;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::room::{Call, Join, Room};
use kernel::session::{Input, Terms, step};
use kernel::words::{LaneName, RoomId};

use super::*;

const T0: Timestamp = Timestamp::from_millis(1_000_000);
const TICK: Duration = Duration::from_secs(1);
const BEAT: Beat = Beat { figures_ms: 900, expiring_seconds: 60 };

/// A link that remembers.
#[derive(Clone, Default)]
struct Heard(Rc<(RefCell<Vec<Outgoing>>, Cell<bool>)>);

impl Heard {
    fn all(&self) -> Vec<Outgoing> {
        self.0.0.take()
    }

    fn close(&self) {
        self.0.1.set(true);
    }

    fn is_gone(&self) -> bool {
        self.0.1.get()
    }
}

/// A room, its mirror being its own state, and who is connected.
struct Scene {
    room: Room,
    seats: Seats<Heard>,
    cadence: Cadence,
    now: Timestamp,
}

impl Scene {
    fn new(capacity: u64, opens_at: Option<Timestamp>) -> Self {
        let policy = Policy {
            capacity,
            admit_per_minute: None,
            active_seconds: 300,
            max_session_seconds: 900,
            claim_seconds: 60,
            grace_seconds: 60,
            max_waiting: None,
            opens_at,
            closes_at: None,
            prequeue: PrequeueOrder::Fifo,
            lanes: Vec::new(),
            go_to: None,
        };
        let room = Room::new(RoomId::parse("demo").unwrap(), policy, None, T0);
        let seats = Seats::new(BEAT, room.state());
        Self { room, seats, cadence: Cadence::new(0, 1_000_000, TICK), now: T0 }
    }

    fn join(&mut self, count: u64, lane: &str) {
        let lane = LaneName::parse(lane).unwrap();
        let join = Join { lane, holding: None, visitor: None, key: None };
        self.room.join(&vec![join; count as usize], self.now);
        self.hear();
    }

    fn connect(&mut self, number: Number) -> Heard {
        let (heard, mut words) = (Heard::default(), Words::new());
        self.seats.seat(&mut words, number, heard.clone(), self.room.state(), self.now.as_millis());
        say(words);
        heard
    }

    fn call(&mut self, count: u64) {
        let counts = self.room.state().counts();
        let call = Call {
            per_lane: share(count, &counts.lanes),
            called_before: self.room.state().called,
            active_max: counts.capacity,
            claim_by: self.now.plus_seconds(60),
        };
        assert!(matches!(self.room.call_next(&call, self.now), kernel::room::Called::Numbers(_)));
        self.hear();
    }

    fn move_session(&mut self, number: Number, input: Input) {
        let session = self.room.state().sessions[&number];
        let next = step(session, input, Terms::from(&self.room.state().policy), self.now).unwrap();
        self.room.swap_session(number, session, next, self.now);
        self.hear();
    }

    fn depart(&mut self, number: Number) {
        self.room.depart(&Ranges::one(number), EndReason::Left, self.now);
        self.hear();
    }

    /// The shard hears what happened.
    fn hear(&mut self) {
        let mut words = Words::new();
        for event in self.room.take_events() {
            self.seats.follow(&mut words, &event.fact, self.room.state());
        }
        say(words);
    }

    /// The shard hears that it missed something.
    fn look_anew(&mut self) {
        let mut words = Words::new();
        self.seats.look_anew(&mut words, self.room.state());
        say(words);
    }

    fn end(&mut self, number: Number, reason: EndReason) {
        let mut words = Words::new();
        self.seats.end(&mut words, number, reason);
        say(words);
    }

    fn hang_up(&mut self, number: Number, heard: &Heard) {
        heard.close();
        self.seats.unseat(number, Heard::is_gone);
    }

    fn tell_next_up(&mut self) -> u64 {
        let mut words = Words::new();
        let swept = self.seats.tell_next_up(&mut words, self.room.state(), self.now.as_millis());
        say(words);
        swept.load.told
    }

    /// A second goes by, and a sweep.
    fn tick(&mut self) -> Swept {
        self.now = self.now.plus_seconds(1);
        self.sweep_in_parts(2)
    }

    fn sweep_in_parts(&mut self, part: usize) -> Swept {
        self.seats.begin_sweep(self.room.state());
        loop {
            let (mut words, at) = (Words::new(), (self.now, self.now.as_millis()));
            let swept = self.seats.sweep_on(&mut words, &self.cadence, self.room.state(), at, part);
            say(words);
            if let Some(swept) = swept {
                self.cadence.swept(swept.load, Duration::from_millis(10), TICK);
                return swept;
            }
        }
    }
}

fn say(words: Words<Heard>) {
    words.into_iter().for_each(|(heard, outgoing)| heard.0.0.borrow_mut().push(outgoing));
}

fn positions(heard: &Heard) -> Vec<u64> {
    let position = |outgoing| match outgoing {
        Outgoing::Figures(View::Waiting { position, .. }) => Some(position),
        _ => None,
    };
    heard.all().into_iter().filter_map(position).collect()
}

#[test]
fn each_hears_the_own_place_fall_and_nothing_twice() {
    let mut scene = Scene::new(5, None);
    scene.join(9, "default");
    let (third, ninth, twin) = (scene.connect(3), scene.connect(9), scene.connect(9));
    assert_eq!((positions(&third), positions(&ninth), positions(&twin)), (vec![3], vec![9], vec![9]));
    assert_eq!(scene.tick().load.told, 0);
    scene.depart(5);
    scene.call(1);
    assert_eq!(scene.tick().load.told, 3);
    assert_eq!((positions(&third), positions(&ninth), positions(&twin)), (vec![2], vec![7], vec![7]));
    assert_eq!(scene.tick().load.told, 0);
}

#[test]
fn figures_come_at_most_once_a_tick_and_none_is_forgotten() {
    let mut scene = Scene::new(5, None);
    scene.join(2, "default");
    let heard = scene.connect(2);
    scene.depart(1);
    scene.now = scene.now.plus_millis(500);
    assert_eq!(scene.sweep_in_parts(1).load.told, 0);
    assert_eq!(positions(&heard), [2]);
    // Nothing has happened since, and still the figure comes.
    assert_eq!(scene.tick().load.told, 1);
    assert_eq!(positions(&heard), [1]);
}

#[test]
fn whoever_is_called_hears_it_at_once_and_no_figure_after() {
    let mut scene = Scene::new(2, None);
    scene.join(3, "default");
    let (first, last) = (scene.connect(1), scene.connect(3));
    first.all();
    last.all();
    scene.call(2);
    let called = Session::Called { claim_by: T0.plus_seconds(60) };
    assert_eq!(first.all(), [Outgoing::Admitted(called)]);
    scene.tick();
    assert_eq!(first.all(), []);
    assert_eq!(positions(&last), [1]);
    // A claim promises nothing new; a renewal does, in every tab.
    scene.move_session(1, Input::Claim);
    assert_eq!(first.all(), []);
    let tab = scene.connect(1);
    assert!(matches!(tab.all()[..], [Outgoing::Admitted(Session::Active { .. })]));
    scene.now = scene.now.plus_seconds(10);
    scene.move_session(1, Input::Renew);
    let (one, other) = (first.all(), tab.all());
    assert!(matches!(one[..], [Outgoing::Admitted(Session::Active { .. })]), "{one:?}");
    assert_eq!(one, other);
    scene.move_session(1, Input::End(EndReason::Paid));
    assert_eq!(first.all(), [Outgoing::Ended(EndReason::Paid)]);
    assert_eq!(tab.all(), [Outgoing::Ended(EndReason::Paid)]);
}

#[test]
fn the_end_is_announced_once_for_each_end_and_tab() {
    let mut scene = Scene::new(1, None);
    scene.join(1, "default");
    let heard = scene.connect(1);
    scene.call(1);
    scene.move_session(1, Input::Claim);
    scene.now = scene.now.plus_seconds(200);
    heard.all();
    assert_eq!(scene.tick().load.told, 0);
    scene.now = scene.now.plus_seconds(50);
    scene.tick();
    assert_eq!(heard.all(), [Outgoing::Expiring { seconds: 48 }]);
    scene.tick();
    assert_eq!(heard.all(), []);
    let tab = scene.connect(1);
    scene.tick();
    assert_eq!(tab.all()[1..], [Outgoing::Expiring { seconds: 46 }]);
    assert_eq!(heard.all(), []);
    scene.move_session(1, Input::Renew);
    heard.all();
    scene.now = scene.now.plus_seconds(280);
    scene.tick();
    assert_eq!(heard.all(), [Outgoing::Expiring { seconds: 19 }]);
}

#[test]
fn before_the_opening_there_are_no_positions_and_then_there_are() {
    let opens_at = Some(T0.plus_seconds(60));
    let mut scene = Scene::new(1, opens_at);
    scene.join(3, "default");
    let heard = scene.connect(3);
    let expected = [
        Outgoing::Figures(View::Prequeue { opens_at, waiting: 3 }),
        Outgoing::Room { state: Control::Prequeue, notice: None },
    ];
    assert_eq!(heard.all(), expected);
    scene.join(1, "default");
    scene.tick();
    assert_eq!(heard.all(), [Outgoing::Figures(View::Prequeue { opens_at, waiting: 4 })]);
    assert!(scene.room.control(Control::Prequeue, Control::Open, None, scene.now));
    scene.hear();
    assert_eq!(heard.all(), [Outgoing::Room { state: Control::Open, notice: None }]);
    scene.tick();
    assert_eq!(positions(&heard), [3]);
}

#[test]
fn a_room_tells_each_change_and_newcomers_what_is_not_plain() {
    let mut scene = Scene::new(0, None);
    scene.join(2, "default");
    let heard = scene.connect(1);
    heard.all();
    scene.room.notice(Some("soon".into()), T0);
    scene.hear();
    let notice = Outgoing::Room { state: Control::Open, notice: Some("soon".into()) };
    assert_eq!(heard.all(), std::slice::from_ref(&notice));
    // The own place first.
    assert_eq!(scene.connect(2).all()[1], notice);
    scene.room.control(Control::Open, Control::Closed, None, T0);
    scene.hear();
    let closed = Outgoing::Room { state: Control::Closed, notice: Some("soon".into()) };
    assert_eq!(heard.all(), [closed, Outgoing::Ended(EndReason::RoomClosed)]);
}

#[test]
fn lanes_are_lines_of_their_own() {
    let mut scene = Scene::new(1, None);
    scene.join(3, "default");
    scene.join(2, "vip");
    let (third, fifth) = (scene.connect(3), scene.connect(5));
    assert_eq!((positions(&third), positions(&fifth)), (vec![3], vec![2]));
    scene.depart(4);
    scene.depart(1);
    scene.tick();
    assert_eq!((positions(&third), positions(&fifth)), (vec![2], vec![1]));
}

#[test]
fn present_is_who_is_here_or_just_was() {
    let mut scene = Scene::new(1, None);
    scene.join(4, "default");
    let (one, tab, four) = (scene.connect(1), scene.connect(1), scene.connect(4));
    let present = |scene: &mut Scene| scene.seats.take_present().into_iter().collect::<Vec<_>>();
    assert_eq!(present(&mut scene), [1, 4]);
    scene.hang_up(1, &one);
    scene.hang_up(4, &four);
    assert_eq!(present(&mut scene), [1, 4], "the second tab is open, and 4 was here a moment ago");
    assert_eq!(present(&mut scene), [1]);
    scene.hang_up(1, &tab);
    assert!(scene.seats.is_empty());
    assert_eq!(present(&mut scene), [1]);
    assert_eq!(present(&mut scene), [0; 0]);
}

#[test]
fn what_was_missed_is_made_up_for() {
    let mut scene = Scene::new(1, None);
    scene.join(4, "default");
    let (first, second, fourth) = (scene.connect(1), scene.connect(2), scene.connect(4));
    [&first, &second, &fourth].into_iter().for_each(|heard| drop(heard.all()));
    // The shard hears none of this.
    let unheard = scene.room.take_events().len();
    assert_eq!(unheard, 0);
    let called = Call { per_lane: vec![1], called_before: 0, active_max: 1, claim_by: T0.plus_seconds(60) };
    scene.room.call_next(&called, T0);
    scene.room.depart(&Ranges::one(2), EndReason::NoShow, T0);
    let events = scene.room.take_events();
    scene.look_anew();
    assert!(matches!(first.all()[..], [Outgoing::Admitted(_)]));
    assert_eq!(scene.tick().missing, [2]);
    scene.end(2, EndReason::NoShow);
    assert_eq!(second.all(), [Outgoing::Ended(EndReason::NoShow)]);
    assert_eq!(positions(&fourth), [2]);
    // Heard late after all, they say nothing twice.
    let mut words = Words::new();
    events.iter().for_each(|event| scene.seats.follow(&mut words, &event.fact, scene.room.state()));
    say(words);
    assert_eq!((first.all(), second.all()), (vec![], vec![]));
}

#[test]
fn a_position_that_would_grow_is_not_told() {
    let mut scene = Scene::new(5, None);
    scene.join(9, "default");
    scene.call(4);
    let heard = scene.connect(9);
    assert_eq!(positions(&heard), [5]);
    // A state from before: what a store that lost something would show.
    let mut older = Scene::new(5, None);
    older.join(9, "default");
    std::mem::swap(&mut scene.room, &mut older.room);
    let swept = scene.tick();
    assert_eq!((swept.grew, swept.load.told), (1, 0));
    assert_eq!(positions(&heard), [0; 0]);
}

#[test]
fn everybody_is_sent_elsewhere_at_the_end() {
    let mut scene = Scene::new(1, None);
    scene.join(1, "default");
    let heard = scene.connect(1);
    heard.all();
    let mut words = Words::new();
    scene.seats.dismiss(&mut words);
    say(words);
    assert_eq!(heard.all(), [Outgoing::Away]);
}

#[test]
fn those_next_up_need_not_wait_for_a_sweep() {
    let mut scene = Scene::new(5, None);
    scene.join(NEAR + 9, "default");
    let [near, far] = [NEAR, NEAR + 9].map(|number| scene.connect(number));
    let _ = (positions(&near), positions(&far));
    scene.now = scene.now.plus_seconds(1);
    scene.depart(1);
    assert_eq!(scene.tell_next_up(), 1);
    assert_eq!((positions(&near), positions(&far)), (vec![NEAR - 1], vec![]));
    // At most once a tick; what was put off comes with the next sweep.
    scene.depart(2);
    assert_eq!(scene.tell_next_up(), 0);
    assert_eq!(scene.tick().load.told, 2);
    assert_eq!((positions(&near), positions(&far)), (vec![NEAR - 2], vec![NEAR + 7]));
}

#[test]
fn the_far_end_hears_every_third_time_and_the_last_word_of_a_line_that_stands() {
    let mut scene = Scene::new(1_000, None);
    scene.cadence = Cadence::new(1_000, 1_000_000, TICK);
    scene.join(1_200, "default");
    let (middle, far) = (scene.connect(900), scene.connect(1_200));
    let _ = (positions(&middle), positions(&far));
    for number in 1..=30 {
        scene.depart(number);
        scene.tick();
    }
    assert_eq!(positions(&middle), (870..900).rev().collect::<Vec<_>>());
    let heard = positions(&far);
    assert_eq!(heard.len(), 10, "{heard:?}");
    // Nothing happens any more: whoever was passed over last still learns where they stand.
    (0..3).for_each(|_| drop(scene.tick()));
    assert_eq!(heard.into_iter().chain(positions(&far)).last(), Some(1_170));
    assert_eq!(scene.tick().load.told, 0);
}
