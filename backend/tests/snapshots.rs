//! A room that was written down whole and read again is the same room, whatever had happened in it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kernel::admission::share;
use kernel::control::{Order, step as control_step};
use kernel::event::v1::Drawn;
use kernel::policy::{LanePolicy, Policy, PrequeueOrder};
use kernel::room::{Call, Join, Room};
use kernel::session::{Input, Terms, step};
use kernel::words::{Digest, EndReason, LaneName, Ranges, RoomId, Timestamp};
use proptest::prelude::*;

const OPENS: Timestamp = Timestamp::from_millis(1_900_000_000_000);

#[derive(Debug, Clone)]
enum Act {
    Join { fast: bool, visitor: Option<u8>, key: Option<u8> },
    Depart { first: u64, last: u64, revoked: bool },
    Call(u64),
    Session { at: usize, input: Input },
    Order(Order),
    Notice(Option<String>),
    Configure { capacity: u64, rate: Option<u64>, lanes: bool },
    Progress(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let input = prop_oneof![
        Just(Input::Claim),
        Just(Input::Renew),
        Just(Input::End(EndReason::Paid)),
        Just(Input::End(EndReason::Left)),
        Just(Input::Sweep { claim_until: OPENS }),
    ];
    let order = prop_oneof![4 => Just(Order::Open), 1 => Just(Order::Pause), 1 => Just(Order::Resume), 1 => Just(Order::Close)];
    let (visitor, key) = (prop::option::of(0..9u8), prop::option::of(0..9u8));
    prop_oneof![
        6 => (any::<bool>(), visitor, key).prop_map(|(fast, visitor, key)| Act::Join { fast, visitor, key }),
        1 => (0..60u64, 0..9u64, any::<bool>())
            .prop_map(|(first, more, revoked)| Act::Depart { first, last: first + more, revoked }),
        3 => (1..9u64).prop_map(Act::Call),
        3 => (0..9usize, input).prop_map(|(at, input)| Act::Session { at, input }),
        2 => order.prop_map(Act::Order),
        1 => prop::option::of("[a-zä ]{1,9}").prop_map(Act::Notice),
        1 => (0..20u64, prop::option::of(1..600u64), any::<bool>())
            .prop_map(|(capacity, rate, lanes)| Act::Configure { capacity, rate, lanes }),
        1 => (0..5_000u64).prop_map(Act::Progress),
    ]
}

fn policy(capacity: u64, rate: Option<u64>, lanes: bool, lottery: bool) -> Policy {
    let lane = |(name, weight)| LanePolicy { name: LaneName::parse(name).unwrap(), weight };
    Policy {
        capacity,
        admit_per_minute: rate,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: rate,
        opens_at: Some(OPENS),
        closes_at: rate.map(|rate| OPENS.plus_seconds(rate)),
        prequeue: if lottery { PrequeueOrder::Lottery } else { PrequeueOrder::Fifo },
        lanes: [("fast", 3), ("default", 1)].into_iter().filter(|_| lanes).map(lane).collect(),
        go_to: rate.map(|_| "/book/x".to_owned()),
    }
}

fn apply(room: &mut Room, act: Act, now: Timestamp) {
    match act {
        Act::Join { fast, visitor, key } => {
            let lane = LaneName::parse(if fast { "fast" } else { "default" }).unwrap();
            let digest = |what: u8| move |byte: u8| Digest::of(&[&[what, byte]]);
            let join = Join { lane, holding: None, visitor: visitor.map(digest(0)), key: key.map(digest(1)) };
            room.join(&[join], now);
        }
        Act::Depart { first, last, revoked } => {
            let reason = if revoked { EndReason::Revoked } else { EndReason::NoShow };
            room.depart(&(first..=last).collect::<Ranges>(), reason, now);
        }
        Act::Call(slots) => {
            let seen = room.state().room_counts();
            let call = Call {
                per_lane: share(slots, &seen.counts.lanes),
                called_before: seen.called,
                active_max: seen.counts.capacity,
                claim_by: now.plus_seconds(60),
            };
            room.call_next(&call, now);
        }
        Act::Session { at, input } => {
            let Some((number, session)) = room.state().sessions.iter().nth(at).map(|(n, s)| (*n, *s)) else {
                return;
            };
            if let Ok(next) = step(session, input, Terms::from(&room.state().policy), now) {
                room.swap_session(number, session, next, now);
            }
        }
        Act::Order(order) => {
            let from = room.state().control;
            let Ok(to) = control_step(from, order) else { return };
            let lottery = room.state().policy.prequeue == PrequeueOrder::Lottery;
            let drawn = Drawn {
                frozen: room.state().issued,
                secret: "07".repeat(32),
                list_root: "08".repeat(32),
                beacon: None,
            };
            let opening = from == kernel::control::Control::Prequeue && order == Order::Open && lottery;
            room.control(from, to, opening.then_some(drawn), now);
        }
        Act::Notice(notice) => room.notice(notice, now),
        Act::Configure { capacity, rate, lanes } => {
            let lottery = room.state().policy.prequeue == PrequeueOrder::Lottery;
            room.configure(&policy(capacity, rate, lanes, lottery), now);
        }
        Act::Progress(rate) => {
            room.progress(rate, now);
        }
    }
    room.take_events();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_room_read_again_is_the_same_room(
        acts in prop::collection::vec(act(), 1..80),
        lottery: bool,
        rate in prop::option::of(1..600u64),
        pause_ms in 0..9_000u64,
    ) {
        let mut now = OPENS.minus_millis(20 * pause_ms);
        let commitment = lottery.then(|| "09".repeat(32));
        let mut room = Room::new(RoomId::parse("demo").unwrap(), policy(5, rate, true, lottery), commitment, now);
        room.take_events();
        for act in acts {
            apply(&mut room, act, now);
            now = now.plus_millis(pause_ms);
            let written = rmp_serde::to_vec_named(&room).unwrap();
            let read: Room = rmp_serde::from_slice(&written).unwrap();
            prop_assert_eq!(&read, &room);
            room = read;
        }
    }
}
