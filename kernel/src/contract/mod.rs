//! What every room store has to do, written once. A backend adopts all of it with one line,
//! `kernel::room_store_contract!(make_store)`; the cases panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a case fails by panicking")]

mod chance;
pub mod faulty;
pub mod lines;
pub mod log;
pub mod model;
pub mod reference;
pub mod sessions;
pub mod shop;
pub mod story;

use crate::policy::{LanePolicy, Policy, PrequeueOrder};
use crate::ports::{JoinAnswer, RoomStore};
use crate::room::{Call, Called, Join, Joined, RoomCounts};
use crate::words::{LaneName, Number, Ranges, RoomId, Timestamp};

/// When the cases begin.
pub const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Random histories that every store has to answer as the kernel does.
pub const HISTORIES: u64 = 1_000;
/// So many of them at a time, each in a room of its own.
pub const AT_ONCE: u64 = 250;

/// One test a case. `$make` is an async function that answers `(Arc<dyn RoomStore>, kept)`: a store without
/// rooms, and what has to live as long as the store does.
#[macro_export]
macro_rules! room_store_contract {
    ($make:path) => {
        $crate::room_store_contract!(@cases $make, lines: [
            numbers_follow_the_order_of_joining,
            a_place_is_found_again_by_ticket_visitor_and_key,
            twins_in_one_batch_get_one_place,
            what_names_two_places_is_a_conflict,
            a_key_is_forgotten_after_ten_minutes,
            who_was_revoked_gets_no_other_place,
            who_ended_joins_again_at_the_back,
            a_full_line_takes_nobody_new,
            closing_ends_the_line_and_numbers_go_on,
            leaving_is_told_once_and_keeps_its_reason,
            configuring_again_changes_only_what_differs,
            a_control_change_wants_the_state_it_was_decided_on,
            a_draw_orders_those_who_had_come,
            a_snapshot_knows_what_the_store_knows,
            nobody_is_reinstated_in_a_room_that_lost_nothing,
            rebuilding_a_whole_room_changes_nothing,
            a_room_nobody_made_is_unknown,
        ]);
        $crate::room_store_contract!(@cases $make, sessions: [
            calls_follow_the_line_of_each_lane,
            a_call_on_old_counts_loses,
            a_call_never_goes_beyond_the_capacity,
            nobody_is_called_unless_open,
            two_callers_call_everyone_once,
            a_session_changes_only_from_what_was_expected,
            an_ended_session_frees_its_slot_once,
            due_sessions_come_earliest_first,
            the_pace_counts_what_was_called,
            progress_is_told_once_a_change,
        ]);

        #[tokio::test(flavor = "multi_thread")]
        async fn every_answer_is_the_kernels() {
            let (store, _kept) = $make().await;
            let mut running = tokio::task::JoinSet::new();
            for first in 0..$crate::contract::AT_ONCE {
                let store = store.clone();
                running.spawn($crate::contract::model::histories(store, first));
            }
            // The first that panics tells its seed and ends the test.
            while let Some(lane) = running.join_next().await {
                lane.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
            }
        }
    };
    (@cases $make:path, $group:ident: [$($case:ident,)*]) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (store, _kept) = $make().await;
                $crate::contract::$group::$case(store).await;
            }
        )*
    };
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

/// A policy with nothing special in it.
pub fn policy(capacity: u64) -> Policy {
    Policy {
        capacity,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: None,
    }
}

pub(crate) fn fast_lane() -> LaneName {
    LaneName::parse("fast").unwrap()
}

pub(crate) fn with_lanes(capacity: u64) -> Policy {
    let lane = |name, weight| LanePolicy { name, weight };
    Policy { lanes: vec![lane(LaneName::default_lane(), 1), lane(fast_lane(), 3)], ..policy(capacity) }
}

pub(crate) fn anybody() -> Join {
    Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None }
}

/// Joins `count` strangers.
pub(crate) async fn crowd(store: &dyn RoomStore, room: &RoomId, count: usize) -> Vec<JoinAnswer> {
    store.join(room, vec![anybody(); count], T0).await.unwrap()
}

pub(crate) async fn join_one(store: &dyn RoomStore, room: &RoomId, join: Join, now: Timestamp) -> Joined {
    let answers = store.join(room, vec![join], now).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers[0].joined
}

/// A call of `count` from the first lane, decided on `seen`.
pub(crate) fn call_of(seen: &RoomCounts, count: u64) -> Call {
    Call {
        per_lane: vec![count],
        called_before: seen.called,
        active_max: seen.counts.capacity,
        claim_by: T0.plus_seconds(60),
    }
}

/// Calls `count` from the first lane.
pub(crate) async fn call(store: &dyn RoomStore, room: &RoomId, count: u64) -> Vec<Number> {
    let seen = store.counts(room).await.unwrap();
    match store.call_next(room, call_of(&seen, count), T0).await.unwrap() {
        Called::Numbers(numbers) => numbers.numbers().collect(),
        Called::LostRace => panic!("nobody else called, and yet the race was lost"),
    }
}

pub(crate) fn ranges(numbers: &[Number]) -> Ranges {
    numbers.iter().copied().collect()
}
