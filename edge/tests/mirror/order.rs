//! Whatever order the topics of a room come in, and however often, the mirror goes the store's way, event by
//! event; it asks for a copy only when that cannot help.

use std::time::Duration;

use edge::mirror::{Followed, Mirror};
use kernel::contract::{T0, policy};
use kernel::event::{Event, Record, RoomEvent, RoomFact};
use kernel::ports::{EventLog, RoomStore};
use kernel::room::{Call, Swapped};
use kernel::session::{Next, Session};
use kernel::words::{EndReason, Ranges};
use proptest::prelude::*;
use tokio::sync::broadcast::error::RecvError;

use crate::scene::{LONG, Scene};
use crate::unruly::{Order, Pick};

/// What happens in the room; each tells of itself in a topic of its own.
#[derive(Debug, Clone)]
enum Act {
    Join(usize),
    Leave(u64),
    Call(u64),
    Claim,
    Release,
    Notice(u8),
    Tell,
}

impl Act {
    async fn happen(&self, scene: &Scene) {
        let (store, room) = (&scene.store, &scene.room);
        match self {
            Self::Join(count) => scene.join(*count).await,
            Self::Leave(number) => {
                store.depart(room, Ranges::one(*number), EndReason::Left, T0).await.unwrap();
            }
            Self::Call(count) => {
                let seen = store.counts(room).await.unwrap();
                let free = seen.counts.capacity - seen.counts.active;
                let call = Call {
                    per_lane: vec![free.min(*count)],
                    called_before: seen.called,
                    active_max: seen.counts.capacity,
                    claim_by: T0.plus_seconds(60),
                };
                store.call_next(room, call, T0).await.unwrap();
            }
            Self::Claim => {
                let claimed = Session::Active { claimed_at: T0, expires_at: T0.plus_seconds(300) };
                move_first(scene, |session| match session {
                    Session::Called { .. } => Some(Next::Claimed(claimed)),
                    Session::Active { .. } => None,
                })
                .await;
            }
            Self::Release => move_first(scene, |_| Some(Next::Ended(EndReason::Paid))).await,
            Self::Notice(text) => store.notice(room, Some(format!("{text}")), T0).await.unwrap(),
            Self::Tell => drop(store.progress(room, 60, T0).await.unwrap()),
        }
    }
}

/// Moves the first session that has somewhere to go.
async fn move_first(scene: &Scene, to: impl Fn(Session) -> Option<Next>) {
    let held = scene.store.due(&scene.room, kernel::words::Timestamp::MAX, 100).await.unwrap();
    if let Some((number, from, to)) = held.into_iter().find_map(|(n, s)| to(s).map(|to| (n, s, to))) {
        let moved = scene.store.swap_session(&scene.room, number, from, to, T0).await.unwrap();
        assert_eq!(moved, Swapped::Done);
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1..5usize).prop_map(Act::Join),
        2 => (1..30u64).prop_map(Act::Leave),
        3 => (1..4u64).prop_map(Act::Call),
        3 => Just(Act::Claim),
        2 => Just(Act::Release),
        2 => (0..9u8).prop_map(Act::Notice),
        3 => Just(Act::Tell),
    ];
    prop::collection::vec(act, 1..40)
}

fn picks() -> impl Strategy<Value = Vec<Pick>> {
    let pick = (0..4usize, prop::option::weighted(0.2, 0..100usize))
        .prop_map(|(topic, again)| Pick { topic, again });
    prop::collection::vec(pick, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn topics_may_come_in_any_order_and_no_copy_is_asked_for(acts in acts(), picks in picks()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(mixed_up(&acts, picks));
    }
}

async fn mixed_up(acts: &[Act], picks: Vec<Pick>) {
    let scene = Scene::patient(policy(5), LONG).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(3).await;
    scene.caught_up(&mirror).await;
    let (mut heard, from) = (mirror.listen(), mirror.version());
    scene.unruly.order.send_replace(Order::Held);
    for act in acts {
        act.happen(&scene).await;
    }
    // Something has happened in any case.
    scene.join(1).await;
    let through = scene.version().await;
    scene.unruly.order.send_replace(Order::Mixed { through, picks });
    scene.caught_up(&mirror).await;
    for expected in from + 1..=through {
        assert_eq!(seq_of(heard.recv().await), Some(expected), "listeners hear every event once, in order");
    }
    assert!(heard.is_empty());
}

/// Absent when the room was copied anew.
fn seq_of(heard: Result<Followed, RecvError>) -> Option<u64> {
    match heard.expect("the listener keeps up") {
        Followed::Event(record) => Some(record.event.of_room().expect("of a room").seq),
        Followed::Anew => None,
    }
}

#[tokio::test]
async fn what_waits_in_vain_is_copied_and_what_is_newer_than_the_copy_is_heard() {
    let scene = Scene::patient(policy(5), Duration::from_millis(200)).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(1).await;
    scene.caught_up(&mirror).await;
    let mut heard = mirror.listen();
    let next = scene.version().await + 1;
    *scene.unruly.lost.lock().unwrap() = next..next + 1;
    for _ in 0..3 {
        scene.join(1).await;
    }
    scene.caught_up(&mirror).await;
    assert_eq!(seq_of(heard.recv().await), None, "an event was lost: only a copy can tell it");
    scene.join(1).await;
    assert_eq!(seq_of(heard.recv().await), Some(next + 3));
    scene.caught_up(&mirror).await;
}

#[tokio::test]
async fn a_jump_of_a_rebuilt_room_is_copied_at_once() {
    let scene = Scene::patient(policy(5), LONG).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(1).await;
    scene.caught_up(&mirror).await;
    hears_a_copy_after(&scene, &mirror, [1_000_000 + mirror.version()]).await;
}

#[tokio::test]
async fn too_many_events_ahead_of_their_turn_are_not_kept() {
    let scene = Scene::patient(policy(5), LONG).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(1).await;
    scene.caught_up(&mirror).await;
    let missing = mirror.version() + 1;
    hears_a_copy_after(&scene, &mirror, missing + 1..=missing + 16_384).await;
}

/// Events of these `seq`s come by the log, and the next thing that listeners hear is a copy.
async fn hears_a_copy_after(scene: &Scene, mirror: &Mirror, seqs: impl IntoIterator<Item = u64>) {
    let mut heard = mirror.listen();
    let record = |seq: u64| {
        let fact = RoomFact::WaitingTokensDeparted { ranges: Ranges::one(1), reason: EndReason::Left };
        let event = Event::Room(RoomEvent { room: scene.room.clone(), seq, at: T0, fact });
        Record { id: format!("ahead-{seq}"), room: scene.room.clone(), at: T0, traceparent: None, event }
    };
    scene.store.publish(seqs.into_iter().map(record).collect()).await.unwrap();
    let soon = tokio::time::timeout(LONG / 2, heard.recv()).await;
    assert_eq!(seq_of(soon.expect("nobody copied the room")), None);
}
