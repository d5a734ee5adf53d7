//! Cases of the line: joining, being found again, leaving, opening, closing.

use std::sync::Arc;

use super::{T0, anybody, call, crowd, join_one, policy, ranges, room};
use crate::control::Control;
use crate::event::v1::Drawn;
use crate::lottery::{Draw, Ingredients};
use crate::policy::{Policy, PrequeueOrder};
use crate::ports::{RoomStore, StoreError};
use crate::room::{Join, Joined, Returning, Room, Standing};
use crate::session::Next;
use crate::words::{Digest, EndReason, Number, RoomId};

type Store = Arc<dyn RoomStore>;

fn digest(text: &str) -> Option<Digest> {
    Some(Digest::of(&[text.as_bytes()]))
}

fn known(visitor: Option<Digest>, key: Option<Digest>, holding: Option<Number>) -> Join {
    Join { visitor, key, holding, ..anybody() }
}

async fn position(store: &Store, room: &RoomId, number: Number) -> Option<u64> {
    match store.seen(room, number).await.unwrap().standing {
        Standing::Waiting(spot) => Some(spot.position),
        Standing::Unknown | Standing::Prequeue | Standing::Session(_) | Standing::Ended(_) => None,
    }
}

pub async fn numbers_follow_the_order_of_joining(store: Store) {
    let room = room("order");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    let first = crowd(store.as_ref(), &room, 3).await;
    let second = crowd(store.as_ref(), &room, 2).await;
    let joined: Vec<_> = first.iter().chain(&second).map(|answer| answer.joined).collect();
    assert_eq!(joined, (1..=5).map(Joined::New).collect::<Vec<_>>());
    for number in 1..=5 {
        assert_eq!(position(&store, &room, number).await, Some(number));
    }
    assert_eq!(second[1].seen.room.waiting, 5);
    assert_eq!(position(&store, &room, 6).await, None);
}

pub async fn a_place_is_found_again_by_ticket_visitor_and_key(store: Store) {
    let room = room("found");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    let ann = known(digest("ann"), digest("key"), None);
    assert_eq!(join_one(store.as_ref(), &room, ann, T0).await, Joined::New(1));
    for again in
        [known(digest("ann"), None, None), known(None, digest("key"), None), known(None, None, Some(1))]
    {
        assert_eq!(join_one(store.as_ref(), &room, again, T0.plus_seconds(5)).await, Joined::Held(1));
    }
    assert_eq!(store.summary(&room).await.unwrap().issued, 1);
}

pub async fn twins_in_one_batch_get_one_place(store: Store) {
    let room = room("twins");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    let ann = || known(None, digest("key"), None);
    let answers = store.join(&room, vec![ann(), anybody(), ann()], T0).await.unwrap();
    let joined: Vec<_> = answers.iter().map(|answer| answer.joined).collect();
    assert_eq!(joined, vec![Joined::New(1), Joined::New(2), Joined::Held(1)]);
    assert!(answers.iter().all(|answer| answer.seen.room.issued == 2), "all answers are of one moment");
}

pub async fn what_names_two_places_is_a_conflict(store: Store) {
    let room = room("conflict");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    for (name, number) in [("ann", 1), ("ben", 2)] {
        let join = known(digest(name), digest(&format!("{name} key")), None);
        assert_eq!(join_one(store.as_ref(), &room, join, T0).await, Joined::New(number));
    }
    for wrong in [
        known(digest("ann"), digest("ben key"), None),
        known(digest("ann"), None, Some(2)),
        known(None, digest("ben key"), Some(1)),
    ] {
        assert_eq!(join_one(store.as_ref(), &room, wrong, T0).await, Joined::Conflict);
    }
    assert_eq!(store.summary(&room).await.unwrap().issued, 2);
}

pub async fn a_key_is_forgotten_after_ten_minutes(store: Store) {
    let room = room("keys");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    let again = || known(None, digest("key"), None);
    assert_eq!(join_one(store.as_ref(), &room, again(), T0).await, Joined::New(1));
    let last = T0.plus_seconds(Room::KEY_SECONDS).minus_millis(1);
    assert_eq!(join_one(store.as_ref(), &room, again(), last).await, Joined::Held(1));
    let over = T0.plus_seconds(Room::KEY_SECONDS);
    assert_eq!(join_one(store.as_ref(), &room, again(), over).await, Joined::New(2));
    assert_eq!(join_one(store.as_ref(), &room, again(), over.plus_seconds(9)).await, Joined::Held(2));
}

pub async fn who_was_revoked_gets_no_other_place(store: Store) {
    let room = room("revoked");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    let ann = || known(digest("ann"), None, None);
    assert_eq!(join_one(store.as_ref(), &room, ann(), T0).await, Joined::New(1));
    store.depart(&room, ranges(&[1]), EndReason::Revoked, T0).await.unwrap();
    assert_eq!(join_one(store.as_ref(), &room, ann(), T0).await, Joined::Revoked);
    let ticket = known(None, None, Some(1));
    assert_eq!(join_one(store.as_ref(), &room, ticket, T0).await, Joined::Revoked);
}

pub async fn who_ended_joins_again_at_the_back(store: Store) {
    let room = room("again");
    store.configure(&room, &policy(0), None, T0).await.unwrap();
    let ann = || known(digest("ann"), None, Some(1));
    assert_eq!(join_one(store.as_ref(), &room, known(digest("ann"), None, None), T0).await, Joined::New(1));
    crowd(store.as_ref(), &room, 2).await;
    store.depart(&room, ranges(&[1]), EndReason::Left, T0).await.unwrap();
    assert_eq!(join_one(store.as_ref(), &room, ann(), T0).await, Joined::New(4));
    assert_eq!(position(&store, &room, 4).await, Some(3));
    // From now on the visitor is known by the new place.
    let later = known(digest("ann"), None, None);
    assert_eq!(join_one(store.as_ref(), &room, later, T0).await, Joined::Held(4));
}

pub async fn a_full_line_takes_nobody_new(store: Store) {
    let room = room("full");
    let tight = Policy { max_waiting: Some(2), ..policy(0) };
    store.configure(&room, &tight, None, T0).await.unwrap();
    let joined: Vec<_> =
        crowd(store.as_ref(), &room, 3).await.into_iter().map(|answer| answer.joined).collect();
    assert_eq!(joined, vec![Joined::New(1), Joined::New(2), Joined::Full]);
    let held = known(None, None, Some(2));
    assert_eq!(join_one(store.as_ref(), &room, held, T0).await, Joined::Held(2));
    store.depart(&room, ranges(&[1]), EndReason::Left, T0).await.unwrap();
    assert_eq!(join_one(store.as_ref(), &room, anybody(), T0).await, Joined::New(3));
}

pub async fn closing_ends_the_line_and_numbers_go_on(store: Store) {
    let room = room("closing");
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 3).await;
    assert_eq!(call(store.as_ref(), &room, 1).await, vec![1]);
    assert!(store.control(&room, Control::Open, Control::Closed, None, T0).await.unwrap());
    let standing = async |number| store.seen(&room, number).await.unwrap().standing;
    assert!(matches!(standing(1).await, Standing::Session(_)));
    assert_eq!(standing(2).await, Standing::Ended(EndReason::RoomClosed));
    assert_eq!(join_one(store.as_ref(), &room, anybody(), T0).await, Joined::Closed);
    let held = known(None, None, Some(1));
    assert_eq!(join_one(store.as_ref(), &room, held, T0).await, Joined::Held(1));
    assert!(store.control(&room, Control::Closed, Control::Open, None, T0).await.unwrap());
    assert_eq!(join_one(store.as_ref(), &room, anybody(), T0).await, Joined::New(4));
}

pub async fn leaving_is_told_once_and_keeps_its_reason(store: Store) {
    let room = room("leaving");
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 5).await;
    assert_eq!(call(store.as_ref(), &room, 1).await, vec![1]);
    // A called visitor, one who waits, one who never was.
    let left = store.depart(&room, ranges(&[1, 3, 9]), EndReason::Left, T0).await.unwrap();
    assert_eq!(left, ranges(&[3]));
    let again = store.depart(&room, ranges(&[3, 4]), EndReason::NoShow, T0).await.unwrap();
    assert_eq!(again, ranges(&[4]));
    let seen = async |number| store.seen(&room, number).await.unwrap().standing;
    assert_eq!(seen(3).await, Standing::Ended(EndReason::Left));
    assert_eq!(seen(4).await, Standing::Ended(EndReason::NoShow));
    assert_eq!(position(&store, &room, 5).await, Some(2));
    assert_eq!(store.summary(&room).await.unwrap().departed, 2);
}

pub async fn configuring_again_changes_only_what_differs(store: Store) {
    let room = room("configured");
    store.configure(&room, &policy(1), Some("ab".to_owned()), T0).await.unwrap();
    crowd(store.as_ref(), &room, 1).await;
    let before = store.summary(&room).await.unwrap();
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    assert_eq!(store.summary(&room).await.unwrap(), before);
    store.configure(&room, &policy(7), None, T0).await.unwrap();
    let after = store.summary(&room).await.unwrap();
    assert_eq!((after.capacity, after.issued, after.version), (7, 1, before.version + 1));
    let kept = store.snapshot(&room).await.unwrap().lottery_commitment;
    assert_eq!(kept.as_deref(), Some("ab"), "a commitment is made once");
}

pub async fn a_control_change_wants_the_state_it_was_decided_on(store: Store) {
    let room = room("control");
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    assert!(!store.control(&room, Control::Paused, Control::Open, None, T0).await.unwrap());
    assert!(store.control(&room, Control::Open, Control::Paused, None, T0).await.unwrap());
    let version = store.summary(&room).await.unwrap().version;
    assert!(store.control(&room, Control::Paused, Control::Paused, None, T0).await.unwrap());
    store.notice(&room, Some("soon".to_owned()), T0).await.unwrap();
    store.notice(&room, Some("soon".to_owned()), T0).await.unwrap();
    let summary = store.summary(&room).await.unwrap();
    assert_eq!(summary.control, Control::Paused);
    assert_eq!(summary.notice.as_deref(), Some("soon"));
    assert_eq!(summary.version, version + 1, "what already holds is no event");
}

pub async fn a_draw_orders_those_who_had_come(store: Store) {
    let room = room("draw");
    let opens_at = Some(T0.plus_seconds(60));
    let lottery = Policy { opens_at, prequeue: PrequeueOrder::Lottery, ..policy(1) };
    store.configure(&room, &lottery, None, T0).await.unwrap();
    let answers = crowd(store.as_ref(), &room, 40).await;
    assert!(answers.iter().all(|answer| answer.seen.standing == Standing::Prequeue));
    let drawn = |frozen| Drawn { frozen, secret: "0a".into(), list_root: "00".repeat(32), beacon: None };
    let opened = async |frozen| {
        store.control(&room, Control::Prequeue, Control::Open, Some(drawn(frozen)), T0).await.unwrap()
    };
    assert!(!opened(41).await, "nobody can be drawn who has not come");
    crowd(store.as_ref(), &room, 2).await;
    assert!(opened(40).await);
    let draw = Draw::new(40, &Ingredients { secret: &[10], list_root: [0; 32], beacon: b"" });
    for number in 1..=42 {
        assert_eq!(position(&store, &room, number).await, Some(draw.place(number)));
    }
    assert_eq!(store.snapshot(&room).await.unwrap().drawn, Some(drawn(40)));
    assert_eq!(call(store.as_ref(), &room, 1).await, vec![draw.number(1)]);
}

pub async fn a_snapshot_knows_what_the_store_knows(store: Store) {
    let room = room("snapshot");
    store.configure(&room, &policy(3), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 700).await;
    call(store.as_ref(), &room, 3).await;
    store.depart(&room, (100..200).collect(), EndReason::Left, T0).await.unwrap();
    let copy = store.snapshot(&room).await.unwrap();
    assert_eq!(copy.summary(), store.summary(&room).await.unwrap());
    assert_eq!(copy.room_counts(), store.counts(&room).await.unwrap());
    for number in [1, 3, 4, 99, 100, 199, 200, 512, 513, 700, 701] {
        match store.seen(&room, number).await.unwrap().standing {
            Standing::Ended(_) => assert_eq!(copy.standing(number), Standing::Unknown),
            other => assert_eq!(copy.standing(number), other),
        }
    }
}

pub async fn a_room_nobody_made_is_unknown(store: Store) {
    let room = room("nowhere");
    let unknown = Some(StoreError::UnknownRoom);
    let session = crate::session::Session::Called { claim_by: T0 };
    assert_eq!(store.join(&room, vec![anybody()], T0).await.err(), unknown);
    assert_eq!(store.seen(&room, 1).await.err(), unknown);
    assert_eq!(store.summary(&room).await.err(), unknown);
    assert_eq!(store.counts(&room).await.err(), unknown);
    assert_eq!(store.snapshot(&room).await.err(), unknown);
    assert_eq!(store.depart(&room, ranges(&[1]), EndReason::Left, T0).await.err(), unknown);
    assert_eq!(store.control(&room, Control::Open, Control::Paused, None, T0).await.err(), unknown);
    assert_eq!(store.notice(&room, None, T0).await.err(), unknown);
    assert_eq!(store.swap_session(&room, 1, session, Next::Same, T0).await.err(), unknown);
    assert_eq!(store.due(&room, T0, 1).await.err(), unknown);
    assert_eq!(store.progress(&room, 1, T0).await.err(), unknown);
}

pub async fn nobody_is_reinstated_in_a_room_that_lost_nothing(store: Store) {
    let room = room("r");
    store.configure(&room, &policy(1), None, T0).await.unwrap();
    crowd(store.as_ref(), &room, 3).await;
    store.depart(&room, ranges(&[2]), EndReason::Left, T0).await.unwrap();
    for number in [0, 1, 2, 3, 4, 99] {
        let before = store.seen(&room, number).await.unwrap();
        let returning = Returning { number, visitor: None };
        assert_eq!(store.reinstate(&room, returning, T0).await.unwrap(), before, "{number}");
    }
}

pub async fn rebuilding_a_whole_room_changes_nothing(store: Store) {
    let room = room("r");
    assert_eq!(store.rebuild(&room, T0).await, Err(StoreError::UnknownRoom));
    store.configure(&room, &policy(2), None, T0).await.unwrap();
    let known = Join { visitor: Some(Digest::of(&[b"ann"])), ..anybody() };
    join_one(store.as_ref(), &room, known.clone(), T0).await;
    crowd(store.as_ref(), &room, 5).await;
    call(store.as_ref(), &room, 2).await;
    store.depart(&room, ranges(&[4]), EndReason::Left, T0).await.unwrap();
    let before = store.snapshot(&room).await.unwrap();
    let rebuilt = store.rebuild(&room, T0).await.unwrap();
    assert_eq!(rebuilt.through_seq, before.seq);
    assert_eq!(store.snapshot(&room).await.unwrap(), before);
    assert_eq!(store.seen(&room, 4).await.unwrap().standing, Standing::Ended(EndReason::Left));
    assert_eq!(join_one(store.as_ref(), &room, known, T0).await, Joined::Held(1));
    assert_eq!(join_one(store.as_ref(), &room, anybody(), T0).await, Joined::New(7));
}
