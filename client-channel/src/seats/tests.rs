//! What a shard says to whom, over a room that lives by its own events.

mod story;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use kernel::admission::share;
use kernel::control::Control;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::room::{Call, Join, Room};
use kernel::session::{Input, Terms, step};
use kernel::words::{LaneName, RoomId};

use super::*;

const T0: Timestamp = Timestamp::from_millis(1_000_000);
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
}

impl Link for Heard {
    fn put(&self, outgoing: Outgoing) -> bool {
        self.0.0.borrow_mut().push(outgoing);
        false
    }

    fn is_gone(&self) -> bool {
        self.0.1.get()
    }
}

/// A room, its mirror being its own state, and who is connected.
struct Scene {
    room: Room,
    seats: Seats<Heard>,
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
        Self { room, seats, now: T0 }
    }

    fn join(&mut self, count: u64, lane: &str) {
        let lane = LaneName::parse(lane).unwrap();
        let join = Join { lane, holding: None, visitor: None, key: None };
        self.room.join(&vec![join; count as usize], self.now);
        self.hear();
    }

    fn connect(&mut self, number: Number) -> Heard {
        let heard = Heard::default();
        self.seats.seat(number, heard.clone(), self.room.state(), self.now.as_millis());
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
        for event in self.room.take_events() {
            self.seats.follow(&event.fact, self.room.state());
        }
    }

    /// A second goes by, and a sweep.
    fn tick(&mut self) -> Swept {
        self.now = self.now.plus_seconds(1);
        self.seats.sweep(self.room.state(), self.now, self.now.as_millis())
    }
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
    assert_eq!(scene.tick(), Swept::default());
    scene.depart(5);
    scene.call(1);
    assert_eq!(scene.tick(), Swept { told: 3, ..Swept::default() });
    assert_eq!((positions(&third), positions(&ninth), positions(&twin)), (vec![2], vec![7], vec![7]));
    assert_eq!(scene.tick(), Swept::default());
}

#[test]
fn figures_come_at_most_once_a_tick_and_none_is_forgotten() {
    let mut scene = Scene::new(5, None);
    scene.join(2, "default");
    let heard = scene.connect(2);
    scene.depart(1);
    let soon = scene.now.plus_millis(500);
    assert_eq!(scene.seats.sweep(scene.room.state(), soon, soon.as_millis()).told, 0);
    assert_eq!(positions(&heard), [2]);
    // Nothing has happened since, and still the figure comes.
    assert_eq!(scene.tick().told, 1);
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
    assert_eq!(scene.tick().told, 0);
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
    one.close();
    four.close();
    scene.tick();
    assert_eq!(present(&mut scene), [1, 4], "the second tab is open, and 4 was here a moment ago");
    assert_eq!(present(&mut scene), [1]);
    tab.close();
    scene.tick();
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
    scene.seats.look_anew(scene.room.state());
    assert!(matches!(first.all()[..], [Outgoing::Admitted(_)]));
    assert_eq!(scene.seats.missing().collect::<Vec<_>>(), [2]);
    scene.seats.end(2, EndReason::NoShow);
    assert_eq!(second.all(), [Outgoing::Ended(EndReason::NoShow)]);
    scene.tick();
    assert_eq!(positions(&fourth), [2]);
    // Heard late after all, they say nothing twice.
    events.iter().for_each(|event| scene.seats.follow(&event.fact, scene.room.state()));
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
    scene.now = scene.now.plus_seconds(1);
    let swept = scene.seats.sweep(older.room.state(), scene.now, scene.now.as_millis());
    assert_eq!(swept, Swept { grew: 1, ..Swept::default() });
    assert_eq!(positions(&heard), [0; 0]);
}

#[test]
fn everybody_is_sent_elsewhere_at_the_end() {
    let mut scene = Scene::new(1, None);
    scene.join(1, "default");
    let heard = scene.connect(1);
    heard.all();
    scene.seats.dismiss();
    assert_eq!(heard.all(), [Outgoing::Away]);
}
