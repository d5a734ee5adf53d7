//! The model test: the same random verbs for a store and for the kernel's own room, every answer compared.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::chance::Chance;
use super::reference::Reference;
use super::{T0, fast_lane, policy, room, with_lanes};
use crate::admission::{share, slots_open};
use crate::control::{Control, Order, step as control_step};
use crate::event::v1::Drawn;
use crate::policy::{Policy, PrequeueOrder};
use crate::ports::RoomStore;
use crate::room::{Call, Join, Swapped};
use crate::session::{Input, Next, Session, Terms, step};
use crate::words::{Digest, EndReason, LaneName, Number, Ranges, RoomId, Timestamp};

/// Verbs of one run.
const VERBS: usize = 150;

/// One random verb with all its arguments.
#[derive(Debug, Clone)]
enum Verb {
    Configure(Policy),
    Control(Control, Control, Option<Drawn>),
    Notice(Option<String>),
    Join(Vec<Join>),
    Depart(Ranges, EndReason),
    Call(Call),
    Swap(Number, Session, Next),
    Due(usize),
    Progress(u64),
}

/// Runs random verbs that follow from `seed`; panics with the seed and the verb where the store differs.
pub async fn agrees_with_the_kernel(store: Arc<dyn RoomStore>, seed: u64) {
    let model: Arc<dyn RoomStore> = Reference::new(Box::new(|_| ()));
    let room = room(&format!("model-{seed}"));
    let mut chance = Chance::of(seed);
    let mut now = T0;
    let first = if seed.is_multiple_of(3) { lottery() } else { with_lanes(4) };
    for store in [&store, &model] {
        store.configure(&room, &first, Some("c0".to_owned()), now).await.unwrap();
    }
    for at in 0..VERBS {
        now = now.plus_millis(chance.below(9_000));
        let verb = next_verb(&mut chance, model.as_ref(), &room, now).await;
        let (theirs, ours) = (
            answer(store.as_ref(), &room, &verb, now).await,
            answer(model.as_ref(), &room, &verb, now).await,
        );
        assert_eq!(theirs, ours, "seed {seed}, verb {at}: {verb:?}");
        compare(store.as_ref(), model.as_ref(), &room, &format!("seed {seed}, after verb {at}: {verb:?}"))
            .await;
    }
    compare_everyone(store.as_ref(), model.as_ref(), &room, seed).await;
}

/// Every [`super::AT_ONCE`]th of the contract's histories, from `first` on.
pub async fn histories(store: Arc<dyn RoomStore>, first: u64) {
    for seed in (first..super::HISTORIES).step_by(super::AT_ONCE as usize) {
        agrees_with_the_kernel(store.clone(), seed).await;
    }
}

fn lottery() -> Policy {
    Policy { opens_at: Some(T0.plus_seconds(600)), prequeue: PrequeueOrder::Lottery, ..with_lanes(4) }
}

async fn answer(store: &dyn RoomStore, room: &RoomId, verb: &Verb, now: Timestamp) -> String {
    match verb.clone() {
        Verb::Configure(policy) => format!("{:?}", store.configure(room, &policy, None, now).await),
        Verb::Control(from, to, drawn) => format!("{:?}", store.control(room, from, to, drawn, now).await),
        Verb::Notice(text) => format!("{:?}", store.notice(room, text, now).await),
        Verb::Join(batch) => format!("{:?}", store.join(room, batch, now).await),
        Verb::Depart(numbers, reason) => format!("{:?}", store.depart(room, numbers, reason, now).await),
        Verb::Call(call) => format!("{:?}", store.call_next(room, call, now).await),
        Verb::Swap(number, from, to) => {
            let swapped: Result<Swapped, _> = store.swap_session(room, number, from, to, now).await;
            format!("{swapped:?}")
        }
        Verb::Due(limit) => format!("{:?}", store.due(room, now, limit).await),
        Verb::Progress(rate) => format!("{:?}", store.progress(room, rate, now).await),
    }
}

async fn compare(store: &dyn RoomStore, model: &dyn RoomStore, room: &RoomId, at: &str) {
    assert_eq!(figures(store, room).await, figures(model, room).await, "{at}");
}

async fn figures(store: &dyn RoomStore, room: &RoomId) -> Vec<String> {
    let ask = async |what| match what {
        Figure::Summary => format!("{:?}", store.summary(room).await),
        Figure::Counts => format!("{:?}", store.counts(room).await),
    };
    together([Figure::Summary, Figure::Counts].into_iter().map(ask)).await
}

enum Figure {
    Summary,
    Counts,
}

async fn compare_everyone(store: &dyn RoomStore, model: &dyn RoomStore, room: &RoomId, seed: u64) {
    let copy = store.snapshot(room).await.unwrap();
    assert_eq!(copy, model.snapshot(room).await.unwrap(), "seed {seed}");
    let numbers = || 0..=copy.issued + 2;
    let theirs = together(numbers().map(|number| store.seen(room, number))).await;
    let ours = together(numbers().map(|number| model.seen(room, number))).await;
    for (number, (theirs, ours)) in numbers().zip(theirs.into_iter().zip(ours)) {
        assert_eq!(theirs, ours, "seed {seed}, number {number}");
    }
}

/// Waits for all at the same time, as callers do who come at once.
async fn together<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut asked: Vec<_> = asked.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, answer) in asked.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *answer = Some(ready);
            }
        }
        if asked.iter().all(|(_, answer)| answer.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    asked.into_iter().filter_map(|(_, answer)| answer).collect()
}

async fn next_verb(chance: &mut Chance, model: &dyn RoomStore, room: &RoomId, now: Timestamp) -> Verb {
    let seen = model.counts(room).await.unwrap();
    match chance.below(20) {
        0..=4 => Verb::Join((0..=chance.below(30)).map(|_| join(chance, seen.issued)).collect()),
        5 | 6 => {
            let numbers = (0..chance.below(6)).map(|_| 1 + chance.below(seen.issued + 1)).collect();
            Verb::Depart(sorted(numbers), reason(chance))
        }
        7..=10 => {
            let slots = slots_open(&seen.counts, now) + u64::from(chance.one_in(8));
            Verb::Call(Call {
                per_lane: share(slots, &seen.counts.lanes),
                called_before: seen.called.saturating_sub(u64::from(chance.one_in(8))),
                active_max: seen.counts.capacity,
                claim_by: now.plus_seconds(1 + chance.below(30)),
            })
        }
        11..=14 => swap(chance, model, room, now).await,
        15 => Verb::Due(1 + chance.below(5) as usize),
        16 => Verb::Progress(chance.below(3) * 60),
        17 => Verb::Notice(chance.one_in(2).then(|| format!("notice {}", chance.below(3)))),
        18 => Verb::Configure(changed(chance, &seen.policy)),
        _ => control(chance, seen.counts.control, seen.issued),
    }
}

fn join(chance: &mut Chance, issued: Number) -> Join {
    let known = |chance: &mut Chance, what: &str| {
        chance.one_in(3).then(|| Digest::of(&[what.as_bytes(), &chance.below(40).to_be_bytes()]))
    };
    Join {
        lane: if chance.one_in(3) { fast_lane() } else { LaneName::default_lane() },
        holding: (chance.one_in(6) && issued > 0).then(|| 1 + chance.below(issued)),
        visitor: known(chance, "visitor"),
        key: known(chance, "key"),
    }
}

fn sorted(mut numbers: Vec<Number>) -> Ranges {
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().collect()
}

fn reason(chance: &mut Chance) -> EndReason {
    [EndReason::Left, EndReason::NoShow, EndReason::Revoked][chance.below(3) as usize]
}

async fn swap(chance: &mut Chance, model: &dyn RoomStore, room: &RoomId, now: Timestamp) -> Verb {
    let sessions: Vec<_> = model.snapshot(room).await.unwrap().sessions.into_iter().collect();
    let terms = Terms { active_seconds: 20, max_session_seconds: 50 };
    let Some((number, session)) = sessions.get(chance.below(sessions.len() as u64) as usize) else {
        return Verb::Swap(1 + chance.below(9), Session::Called { claim_by: now }, Next::Same);
    };
    let input = match chance.below(5) {
        0 | 1 => Input::Claim,
        2 => Input::Renew,
        3 => Input::Sweep { claim_until: now },
        _ => Input::End(EndReason::Paid),
    };
    let next = step(*session, input, terms, now).unwrap_or(Next::Ended(EndReason::Expired));
    let from = if chance.one_in(8) { Session::Called { claim_by: now } } else { *session };
    Verb::Swap(*number, from, next)
}

fn changed(chance: &mut Chance, before: &Policy) -> Policy {
    let most = |chance: &mut Chance, bound| chance.one_in(2).then(|| 1 + chance.below(bound));
    let lanes = if chance.one_in(3) { policy(0).lanes } else { with_lanes(0).lanes };
    Policy {
        capacity: chance.below(12),
        admit_per_minute: most(chance, 120),
        max_waiting: most(chance, 200),
        lanes,
        ..before.clone()
    }
}

fn control(chance: &mut Chance, control: Control, issued: Number) -> Verb {
    let orders = [Order::Open, Order::Pause, Order::Resume, Order::Open, Order::Resume, Order::Close];
    let order = orders[chance.below(6) as usize];
    let from = if chance.one_in(6) { Control::Paused } else { control };
    let to = control_step(from, order).unwrap_or(Control::Open);
    let drawn = (from == Control::Prequeue && to == Control::Open).then(|| Drawn {
        frozen: issued.saturating_sub(chance.below(3)) + 2 * u64::from(chance.one_in(5)),
        secret: "5ec3e7".to_owned(),
        list_root: "11".repeat(32),
        beacon: None,
    });
    Verb::Control(from, to, drawn)
}
