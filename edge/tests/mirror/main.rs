//! Mirrors and openings over the embedded backend: a mirror ends where the store is, whatever the log did
//! on the way; an opening draws over whoever has come, while more are coming.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod level;
mod order;
mod scene;
mod unruly;

use edge::mirror::Followed;
use kernel::contract::faulty::Fate;
use kernel::contract::{T0, policy};
use kernel::control::Control;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{RoomRecord, RoomStore};
use kernel::room::Standing;
use kernel::ticket::{RoomBirth, TicketKey};
use kernel::words::{EndReason, Ranges, RoomId};

use scene::{Scene, join};

#[tokio::test]
async fn a_mirror_follows_from_wherever_it_began() {
    let scene = Scene::with(policy(0)).await;
    scene.join(10).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    for round in 1..50 {
        scene.join(3).await;
        scene.store.depart(&scene.room, Ranges::one(round * 2), EndReason::Left, T0).await.unwrap();
        scene.caught_up(&mirror).await;
    }
}

#[tokio::test]
async fn a_mirror_that_missed_events_copies_the_room_anew_and_says_so() {
    let scene = Scene::with(policy(0)).await;
    let mirror = scene.mirrors.follow(&scene.room).await.unwrap();
    scene.join(5).await;
    scene.caught_up(&mirror).await;
    for _ in 0..5 {
        let mut heard = mirror.listen();
        let unheard_from = scene.version().await + 1;
        *scene.unruly.lost.lock().unwrap() = unheard_from..u64::MAX;
        scene.join(7).await;
        *scene.unruly.lost.lock().unwrap() = unheard_from..scene.version().await + 1;
        scene.faulty.next([Fate::Refused, Fate::Unheard]);
        // This one is heard, and shows that others were not.
        scene.join(1).await;
        scene.caught_up(&mirror).await;
        let first = heard.recv().await.unwrap();
        assert!(matches!(first, Followed::Anew), "{first:?}");
    }
}

#[tokio::test]
async fn a_room_nobody_made_cannot_be_followed_until_it_is_made() {
    let scene = Scene::with(policy(0)).await;
    let later = RoomId::parse("later").unwrap();
    assert!(scene.mirrors.follow(&later).await.is_err());
    scene.store.configure(&later, &policy(0), None, T0).await.unwrap();
    assert!(scene.mirrors.follow(&later).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_ends_while_visitors_stream_in_and_nobody_is_lost() {
    let opens_at = T0.plus_seconds(60);
    let lottery = Policy { opens_at: Some(opens_at), prequeue: PrequeueOrder::Lottery, ..policy(0) };
    let scene = Scene::with(lottery.clone()).await;
    scene.join(3_000).await;
    let stream = {
        let (store, room) = (scene.store.clone(), scene.room.clone());
        tokio::spawn(async move {
            // Until well past the opening, whenever that is.
            while store.summary(&room).await.unwrap().control == Control::Prequeue {
                join(&store, &room, 5).await;
                tokio::task::yield_now().await;
            }
            join(&store, &room, 5).await;
        })
    };
    let birth = RoomBirth { room: scene.room.clone(), born: 1 };
    let record = RoomRecord { birth, policy: lottery, visitor_key: None, lottery_secret: [9; 32] };
    let tickets = TicketKey::new(b"secret");
    edge::opening::open(&scene.store, &record, &tickets, opens_at).await.unwrap();
    stream.await.unwrap();
    edge::opening::open(&scene.store, &record, &tickets, opens_at).await.unwrap();
    let copy = scene.store.snapshot(&scene.room).await.unwrap();
    let drawn = copy.drawn.clone().unwrap();
    assert!((3_000..=copy.issued).contains(&drawn.frozen), "{} of {}", drawn.frozen, copy.issued);
    let mut positions: Vec<_> = (1..=copy.issued)
        .map(|number| match copy.standing(number) {
            Standing::Waiting(spot) => spot.position,
            other => panic!("{number} is {other:?}"),
        })
        .collect();
    assert!(positions[drawn.frozen as usize..].is_sorted(), "who came later stands behind, in order");
    positions.sort_unstable();
    assert!(positions.into_iter().eq(1..=copy.issued));
}
