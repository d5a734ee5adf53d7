//! Cases of those who are called: order, limits, races, sessions, pace, progress.

use std::sync::Arc;

use super::{T0, anybody, call, call_of, crowd, fast_lane, policy, room, with_lanes};
use crate::admission::{share, slots_open};
use crate::control::Control;
use crate::policy::Policy;
use crate::ports::RoomStore;
use crate::room::{Call, Called, Join, Standing, Swapped};
use crate::session::{Input, Next, Session, Terms, step};
use crate::words::{EndReason, Number, RoomId};

type Store = Arc<dyn RoomStore>;

const TERMS: Terms = Terms { active_seconds: 300, max_session_seconds: 900 };

async fn session(store: &Store, room: &RoomId, number: Number) -> Option<Session> {
    match store.seen(room, number).await.unwrap().standing {
        Standing::Session(session) => Some(session),
        Standing::Unknown | Standing::Prequeue | Standing::Waiting(_) | Standing::Ended(_) => None,
    }
}

pub async fn calls_follow_the_line_of_each_lane(store: Store) {
    let room = room("lanes");
    store.configure(&room, &with_lanes(8), None, T0).await.unwrap();
    let fast = || Join { lane: fast_lane(), ..anybody() };
    // Odd numbers are in the default lane, even ones in the fast lane of weight 3.
    let batch = (0..20).flat_map(|_| [anybody(), fast()]).collect();
    store.join(&room, batch, T0).await.unwrap();
    let seen = store.counts(&room).await.unwrap();
    let slots = slots_open(&seen.counts, T0);
    let per_lane = share(slots, &seen.counts.lanes);
    assert_eq!((slots, per_lane.as_slice()), (8, [2, 6].as_slice()));
    let wanted = Call { per_lane, ..call_of(&seen, 0) };
    let Called::Numbers(numbers) = store.call_next(&room, wanted, T0).await.unwrap() else {
        panic!("nobody else called")
    };
    assert_eq!(numbers.numbers().collect::<Vec<_>>(), vec![1, 3, 2, 4, 6, 8, 10, 12]);
    assert_eq!(session(&store, &room, 12).await, Some(Session::Called { claim_by: T0.plus_seconds(60) }));
}

pub async fn a_call_on_old_counts_loses(store: Store) {
    let room = room("races");
    store.configure(&room, &policy(10), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 5).await;
    let seen = store.counts(&room).await.unwrap();
    assert!(matches!(
        store.call_next(&room, call_of(&seen, 1), T0).await.unwrap(),
        Called::Numbers(numbers) if numbers.count() == 1
    ));
    assert_eq!(store.call_next(&room, call_of(&seen, 1), T0).await.unwrap(), Called::LostRace);
    assert_eq!(store.summary(&room).await.unwrap().called, 1);
}

pub async fn a_call_never_goes_beyond_the_capacity(store: Store) {
    let room = room("capacity");
    store.configure(&room, &policy(3), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 9).await;
    let seen = store.counts(&room).await.unwrap();
    assert_eq!(store.call_next(&room, call_of(&seen, 4), T0).await.unwrap(), Called::LostRace);
    assert_eq!(call(store.as_ref(), &room, 2).await, vec![1, 2]);
    // Decided while three could be active, done when only two may.
    let seen = store.counts(&room).await.unwrap();
    store.configure(&room, &policy(2), None, T0).await.unwrap();
    assert_eq!(store.call_next(&room, call_of(&seen, 1), T0).await.unwrap(), Called::LostRace);
    assert_eq!(store.summary(&room).await.unwrap().active, 2);
}

pub async fn nobody_is_called_unless_open(store: Store) {
    let room = room("paused");
    store.configure(&room, &policy(3), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 2).await;
    let seen = store.counts(&room).await.unwrap();
    assert!(store.control(&room, Control::Open, Control::Paused, None, T0).await.unwrap());
    assert_eq!(store.call_next(&room, call_of(&seen, 1), T0).await.unwrap(), Called::LostRace);
    assert!(store.control(&room, Control::Paused, Control::Open, None, T0).await.unwrap());
    assert_eq!(call(store.as_ref(), &room, 3).await.len(), 2, "a call takes who is there");
}

/// Two replicas decide at the same time, again and again: everyone is called once, in order.
pub async fn two_callers_call_everyone_once(store: Store) {
    let room = room("replicas");
    store.configure(&room, &policy(200), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 60).await;
    let mut called = Vec::new();
    for _ in 0..200 {
        let first = store.counts(&room).await.unwrap();
        let second = store.counts(&room).await.unwrap();
        for seen in [first, second] {
            match store.call_next(&room, call_of(&seen, 1), T0).await.unwrap() {
                Called::Numbers(numbers) => called.extend(numbers.numbers()),
                Called::LostRace => {}
            }
        }
    }
    assert_eq!(called, (1..=60).collect::<Vec<_>>());
}

pub async fn a_session_changes_only_from_what_was_expected(store: Store) {
    let room = room("swaps");
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 1).await;
    call(store.as_ref(), &room, 1).await;
    let called = session(&store, &room, 1).await.unwrap();
    let claim = step(called, Input::Claim, TERMS, T0.plus_seconds(5)).unwrap();
    let swap = async |from, to, at| store.swap_session(&room, 1, from, to, at).await.unwrap();
    assert_eq!(swap(called, claim, T0.plus_seconds(5)).await, Swapped::Done);
    let active = Session::Active { claimed_at: T0.plus_seconds(5), expires_at: T0.plus_seconds(305) };
    assert_eq!(swap(called, claim, T0.plus_seconds(6)).await, Swapped::Other(Some(active)));
    let renewed = step(active, Input::Renew, TERMS, T0.plus_seconds(100)).unwrap();
    assert_eq!(swap(active, renewed, T0.plus_seconds(100)).await, Swapped::Done);
    let longer = Session::Active { claimed_at: T0.plus_seconds(5), expires_at: T0.plus_seconds(400) };
    assert_eq!(session(&store, &room, 1).await, Some(longer));
    assert_eq!(swap(longer, Next::Same, T0).await, Swapped::Done);
    let never = store.swap_session(&room, 77, longer, Next::Ended(EndReason::Left), T0).await.unwrap();
    assert_eq!(never, Swapped::Other(None));
}

pub async fn an_ended_session_frees_its_slot_once(store: Store) {
    let room = room("ends");
    store.configure(&room, &policy(2), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 4).await;
    call(store.as_ref(), &room, 2).await;
    let held = session(&store, &room, 1).await.unwrap();
    let end = async |reason| store.swap_session(&room, 1, held, Next::Ended(reason), T0).await.unwrap();
    assert_eq!(end(EndReason::Paid).await, Swapped::Done);
    assert_eq!(end(EndReason::Expired).await, Swapped::Other(None));
    let seen = store.seen(&room, 1).await.unwrap();
    assert_eq!((seen.standing, seen.room.active), (Standing::Ended(EndReason::Paid), 1));
    assert_eq!(slots_open(&store.counts(&room).await.unwrap().counts, T0), 1);
    assert_eq!(call(store.as_ref(), &room, 1).await, vec![3]);
}

pub async fn due_sessions_come_earliest_first(store: Store) {
    let room = room("due");
    store.configure(&room, &policy(9), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 4).await;
    call(store.as_ref(), &room, 4).await;
    let called = Session::Called { claim_by: T0.plus_seconds(60) };
    for (number, claimed) in [(1, 30), (2, 10)] {
        let at = T0.plus_seconds(claimed);
        let next = step(called, Input::Claim, TERMS, at).unwrap();
        assert_eq!(store.swap_session(&room, number, called, next, at).await.unwrap(), Swapped::Done);
    }
    let due = async |at, limit| {
        let due = store.due(&room, T0.plus_seconds(at), limit).await.unwrap();
        due.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(due(59, 9).await, Vec::<Number>::new());
    assert_eq!(due(60, 9).await, vec![3, 4]);
    assert_eq!(due(400, 9).await, vec![3, 4, 2, 1]);
    assert_eq!(due(400, 3).await, vec![3, 4, 2]);
}

pub async fn the_pace_counts_what_was_called(store: Store) {
    let room = room("pace");
    let paced = Policy { admit_per_minute: Some(600), ..policy(1000) };
    store.configure(&room, &paced, None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 50).await;
    let slots = async |ms| slots_open(&store.counts(&room).await.unwrap().counts, T0.plus_millis(ms));
    let first = slots(0).await;
    assert!((1..50).contains(&first), "{first} at once of ten a second");
    assert_eq!(call(store.as_ref(), &room, first).await.len() as u64, first);
    assert_eq!(slots(0).await, 0);
    assert!(slots(2_000).await > 0);
}

pub async fn progress_is_told_once_a_change(store: Store) {
    let room = room("progress");
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 2).await;
    assert!(store.progress(&room, 60, T0).await.unwrap());
    assert!(!store.progress(&room, 60, T0).await.unwrap());
    assert!(store.progress(&room, 61, T0).await.unwrap());
    assert_eq!(store.summary(&room).await.unwrap().per_hour, 61);
    crowd(store.as_ref(), &room, 1).await;
    assert!(store.progress(&room, 61, T0).await.unwrap());
}
