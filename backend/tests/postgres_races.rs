//! Replicas of one shop at the same moment: each has a pool of its own, as processes do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backend::cluster::postgres::PgReservations;
use kernel::contract::T0;
use kernel::contract::shop::{charge_wish, concert, hold_wish, pay_wish, visitor};
use kernel::ports::reservations::*;
use kernel::ports::{ReservationStore, StoreError};
use kernel::reservation::{Owner, Slot};
use kernel::words::{Digest, RoomId};
use postgres_scene::Schema;
use tokio::task::JoinSet;

const PRICE: i64 = 5_000;
/// How long a race may take before it counts as stuck.
const SOON: Duration = Duration::from_secs(60);

struct Replicas {
    schema: Schema,
    stores: Vec<Arc<PgReservations>>,
}

impl Replicas {
    /// With concert `c`, whose performance `c-1` has so many seats.
    async fn open(count: usize, seats: usize) -> Self {
        let schema = Schema::fresh();
        let mut stores = Vec::new();
        for _ in 0..count {
            stores.push(Arc::new(PgReservations::new(schema.connect_with(6).await)));
        }
        stores[0].add_concert(concert("c", seats), T0).await.unwrap();
        Self { schema, stores }
    }

    fn any(&self, at: usize) -> Arc<PgReservations> {
        self.stores[at % self.stores.len()].clone()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.schema.aside().await).await.unwrap()
    }

    /// What holds of money and seats whatever happened.
    async fn audit(&self) {
        let off_ledger = "SELECT count(*) FROM balances FULL JOIN (
                SELECT room, sub, sum(amount_minor)::bigint AS total FROM ledger GROUP BY room, sub
            ) AS lines USING (room, sub) WHERE coalesce(amount_minor, 0) <> coalesce(total, 0)";
        assert_eq!(self.count(off_ledger).await, 0, "a balance is the sum of its ledger");
        let unpaid = "SELECT count(*) FROM reservations FULL JOIN (
                SELECT reservation_id FROM payments WHERE state IN ('completed', 'cancelling')
            ) AS paid USING (reservation_id)
            WHERE (coalesce(reservations.state, '') = 'confirmed') <> (paid.reservation_id IS NOT NULL)";
        assert_eq!(self.count(unpaid).await, 0, "money was taken exactly for the seats that are confirmed");
        let untold = "SELECT count(*) FROM payments WHERE
                (state <> 'failed') <> EXISTS (SELECT 1 FROM outbox WHERE event_id = payment_id || '.completed')
             OR (state = 'failed') <> EXISTS (SELECT 1 FROM outbox WHERE event_id = payment_id || '.failed')
             OR (state = 'cancelled') <> EXISTS (SELECT 1 FROM outbox WHERE event_id = payment_id || '.cancelled')";
        assert_eq!(self.count(untold).await, 0, "what happened to a payment is told, and nothing else");
        let unbooked = "SELECT count(*) FROM payments WHERE
                (state <> 'failed') <> EXISTS (SELECT 1 FROM ledger WHERE reference = payment_id AND kind = 'payment')
             OR (state = 'cancelled') <> EXISTS (SELECT 1 FROM ledger WHERE reference = payment_id AND kind = 'refund')";
        assert_eq!(self.count(unbooked).await, 0, "what was paid and given back is in the ledger");
        let outlived =
            "SELECT count(*) FROM reservations JOIN ended_slots USING (room, number) WHERE state = 'held'";
        assert_eq!(self.count(outlived).await, 0, "no hold outlives its slot");
    }
}

fn own(slot: &Slot, id: &str) -> OwnWish {
    OwnWish { owner: slot.owner.clone(), id: id.to_owned(), key: None, traceparent: None }
}

fn key(operation: Operation, key: &str) -> CallKey {
    CallKey { operation, key: key.to_owned(), body: Digest::of(&[b"body"]) }
}

#[tokio::test]
async fn a_ledger_is_only_ever_added_to() {
    let replicas = Replicas::open(1, 1).await;
    replicas.stores[0].charge(charge_wish(&visitor(1), "ch", PRICE), T0).await.unwrap();
    for change in ["UPDATE ledger SET amount_minor = 1", "DELETE FROM ledger"] {
        let refused = sqlx::query(change).execute(&mut replicas.schema.aside().await).await.unwrap_err();
        assert!(refused.to_string().contains("only ever added to"), "{change}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_goes_to_one_of_all_who_want_it() {
    const SEATS: usize = 6;
    let replicas = Replicas::open(3, SEATS).await;
    let mut race = JoinSet::new();
    for number in 1..=30_u64 {
        let store = replicas.any(usize::try_from(number).unwrap());
        race.spawn(async move {
            let mut won = Vec::new();
            // Each begins elsewhere, and all go for all of them.
            for at in 0..SEATS {
                let seat = format!("A{}", (at + usize::try_from(number).unwrap()) % SEATS + 1);
                match store.hold(hold_wish(&visitor(number), &seat), T0).await.unwrap() {
                    Answered::Now(HoldOutcome::Held(_)) => won.push(seat),
                    Answered::Now(HoldOutcome::SeatTaken | HoldOutcome::Limit) => {}
                    other => panic!("{other:?}"),
                }
            }
            won
        });
    }
    let won = tokio::time::timeout(SOON, race.join_all()).await.unwrap();
    assert!(won.iter().all(|seats| seats.len() <= 2), "nobody has more than allowed: {won:?}");
    let mut seats: Vec<_> = won.into_iter().flatten().collect();
    seats.sort();
    assert_eq!(seats, ["A1", "A2", "A3", "A4", "A5", "A6"], "each was won, and once");
    assert_eq!(replicas.stores[0].taken("c-1", T0).await.unwrap().len(), SEATS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_ran_out_is_followed_by_one() {
    let replicas = Replicas::open(2, 1).await;
    for round in 0..10_u64 {
        let now = T0.plus_seconds(round * 1_000);
        let inside = |number: u64| Slot { expires_at: now.plus_seconds(900), ..visitor(number) };
        let mut race = JoinSet::new();
        for at in 0..8_u64 {
            let (store, slot) = (replicas.any(usize::try_from(at).unwrap()), inside(round * 8 + at + 1));
            race.spawn(async move { store.hold(hold_wish(&slot, "A1"), now).await.unwrap() });
        }
        let outcomes = race.join_all().await;
        let held = |one: &&Answered<HoldOutcome>| matches!(one, Answered::Now(HoldOutcome::Held(_)));
        assert_eq!(outcomes.iter().filter(held).count(), 1, "round {round}: {outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slot_on_two_replicas_has_one_limit() {
    let replicas = Replicas::open(2, 20).await;
    for number in 1..=5_u64 {
        let mut race = JoinSet::new();
        for seat in 1..=8_usize {
            let (store, slot) = (replicas.any(seat), visitor(number));
            // Seats nobody else wants.
            let seat = format!("A{}", (seat + usize::try_from(number).unwrap() * 2) % 20 + 1);
            race.spawn(async move { store.hold(hold_wish(&slot, &seat), T0).await.unwrap() });
        }
        let outcomes = race.join_all().await;
        let held = |one: &&Answered<HoldOutcome>| matches!(one, Answered::Now(HoldOutcome::Held(_)));
        assert_eq!(outcomes.iter().filter(held).count(), 2, "{outcomes:?}");
        replicas.stores[0].end_slot(&visitor(number).owner.room, number, T0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_on_two_replicas_is_one_call() {
    let replicas = Replicas::open(2, 20).await;
    let (one, two) = (&replicas.stores[0], &replicas.stores[1]);
    for round in 1..=15_u64 {
        let slot = visitor(round);
        let charge =
            |id: &str| ChargeWish { key: key(Operation::Charge, "k"), ..charge_wish(&slot, id, PRICE) };
        let (a, b) = tokio::join!(
            one.charge(charge(&format!("a-{round}")), T0),
            two.charge(charge(&format!("b-{round}")), T0)
        );
        agree(a.unwrap(), b.unwrap());
        let hold = |id: &str| HoldWish {
            key: Some(key(Operation::Hold, "k")),
            reservation_id: format!("{id}-{round}"),
            ..hold_wish(&slot, &format!("A{round}"))
        };
        let (a, b) = tokio::join!(one.hold(hold("a"), T0), two.hold(hold("b"), T0));
        let HoldOutcome::Held(held) = agree(a.unwrap(), b.unwrap()) else { panic!("not held") };
        let pay = |id: &str| PayWish {
            key: key(Operation::Pay, "k"),
            ..pay_wish(&slot, &format!("{id}-{round}"), &held.reservation_id)
        };
        let (a, b) = tokio::join!(one.pay(pay("a"), T0), two.pay(pay("b"), T0));
        let PayOutcome::Completed(paid) = agree(a.unwrap(), b.unwrap()) else { panic!("not paid") };
        let cancel = || OwnWish { key: Some(key(Operation::Cancel, "k")), ..own(&slot, &paid.payment_id) };
        let (a, b) = tokio::join!(one.request_cancel(cancel(), T0), two.request_cancel(cancel(), T0));
        agree(a.unwrap(), b.unwrap());
        let other = CallKey { body: Digest::of(&[b"another"]), ..key(Operation::Charge, "k") };
        let changed = ChargeWish { key: other, ..charge("x") };
        assert_eq!(two.charge(changed, T0).await.unwrap(), Answered::OtherBody);
    }
    replicas.audit().await;
    assert_eq!(replicas.count("SELECT count(*) FROM payments").await, 15);
    assert_eq!(
        replicas.count("SELECT count(*) FROM outbox WHERE event_id LIKE '%.cancel-requested'").await,
        15
    );
}

/// One acted, and the other was told what came of it.
fn agree<T: std::fmt::Debug + PartialEq>(a: Answered<T>, b: Answered<T>) -> T {
    match (a, b) {
        (Answered::Now(done), Answered::Before(told)) | (Answered::Before(told), Answered::Now(done)) => {
            assert_eq!(done, told);
            done
        }
        other => panic!("not one call: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_leaves_its_key_to_the_next() {
    let replicas = Replicas::open(2, 1).await;
    let (ann, bob) = (visitor(1), visitor(2));
    let held = replicas.stores[0].hold(hold_wish(&ann, "A1"), T0).await.unwrap();
    assert!(matches!(held, Answered::Now(HoldOutcome::Held(_))));
    let wish = HoldWish { key: Some(key(Operation::Hold, "k")), ..hold_wish(&bob, "A1") };
    let (a, b) = tokio::join!(
        replicas.stores[0].hold(wish.clone(), T0),
        replicas.stores[1].hold(HoldWish { reservation_id: "other".to_owned(), ..wish.clone() }, T0)
    );
    assert_eq!(
        (a.unwrap(), b.unwrap()),
        (Answered::Now(HoldOutcome::SeatTaken), Answered::Now(HoldOutcome::SeatTaken))
    );
    replicas.stores[1].give_back(own(&ann, "r-1-A1"), T0).await.unwrap();
    assert!(matches!(replicas.stores[0].hold(wish, T0).await.unwrap(), Answered::Now(HoldOutcome::Held(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hold_slips_in_while_its_slot_ends() {
    let replicas = Replicas::open(2, 2).await;
    for number in 1..=25_u64 {
        let slot = visitor(number);
        let (one, two) = (replicas.any(0), replicas.any(1));
        let (held, ended) =
            tokio::join!(one.hold(hold_wish(&slot, "A1"), T0), two.end_slot(&slot.owner.room, number, T0));
        let (held, freed) = (held.unwrap(), ended.unwrap());
        let was_held = matches!(held, Answered::Now(HoldOutcome::Held(_)));
        assert_eq!(freed, if was_held { vec!["c-1".to_owned()] } else { Vec::new() }, "{held:?}");
        assert!(one.taken("c-1", T0).await.unwrap().is_empty(), "slot {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_charges_of_one_visitor_add_up() {
    let replicas = Replicas::open(3, 1).await;
    let slot = visitor(1);
    let mut race = JoinSet::new();
    for at in 0..24_usize {
        let (store, slot) = (replicas.any(at), slot.clone());
        race.spawn(
            async move { store.charge(charge_wish(&slot, &format!("ch-{at}"), 100), T0).await.unwrap() },
        );
    }
    for charged in race.join_all().await {
        assert!(matches!(charged, Answered::Now(ChargeOutcome::Charged(_))), "{charged:?}");
    }
    assert_eq!(replicas.stores[0].balance(&slot.owner).await.unwrap().amount_minor, 2_400);
    replicas.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reservation_is_paid_once_and_one_payment_undone_once() {
    let replicas = Replicas::open(3, 20).await;
    for number in 1..=10_u64 {
        let slot = visitor(number);
        let store = replicas.any(0);
        // Money for two, so that only the rules keep it from being taken twice.
        store.charge(charge_wish(&slot, &format!("ch-{number}"), 2 * PRICE), T0).await.unwrap();
        let held = store.hold(hold_wish(&slot, &format!("A{number}")), T0).await.unwrap();
        let Answered::Now(HoldOutcome::Held(held)) = held else { panic!("{held:?}") };
        let mut race = JoinSet::new();
        for at in 0..6_usize {
            let wish = pay_wish(&slot, &format!("p-{number}-{at}"), &held.reservation_id);
            let store = replicas.any(at);
            race.spawn(async move { store.pay(wish, T0).await.unwrap() });
        }
        let paid: Vec<_> = race.join_all().await.into_iter().filter_map(completed).collect();
        assert_eq!(paid.len(), 1);
        let asked = store.request_cancel(own(&slot, &paid[0].payment_id), T0).await.unwrap();
        assert!(matches!(asked, Answered::Now(CancelOutcome::Accepted(_))), "{asked:?}");
        let mut race = JoinSet::new();
        for at in 0..6_usize {
            let (store, asked) = (replicas.any(at), paid[0].facts(&slot.owner.room));
            race.spawn(async move { store.compensate(&asked, T0).await.unwrap() });
        }
        let undone = race.join_all().await;
        let done = |one: &&Compensated| matches!(one, Compensated::Done { .. });
        assert_eq!(undone.iter().filter(done).count(), 1, "{undone:?}");
        assert_eq!(store.balance(&slot.owner).await.unwrap().amount_minor, 2 * PRICE);
    }
    replicas.audit().await;
}

fn completed(answer: Answered<PayOutcome>) -> Option<PaymentRow> {
    match answer {
        Answered::Now(PayOutcome::Completed(row)) => Some(row),
        Answered::Now(PayOutcome::Refused(_) | PayOutcome::SlotEnded) => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_seeding_one_concert_find_it_there() {
    let replicas = Replicas::open(4, 1).await;
    let mut race = JoinSet::new();
    for at in 0..4 {
        let store = replicas.any(at);
        race.spawn(async move { store.add_concert(concert("demo", 12_000), T0).await.unwrap() });
    }
    let added = race.join_all().await;
    assert_eq!(added.iter().filter(|one| **one == Added::New).count(), 1, "{added:?}");
    assert!(added.iter().all(|one| matches!(one, Added::New | Added::Already)), "{added:?}");
    let plan = replicas.stores[0].seat_plan("demo-1").await.unwrap().unwrap();
    assert_eq!(plan.seats, concert("demo", 12_000).performances[0].seats, "in their order");
}

/// Everything at once, by many on every replica, few seats and few visitors; connections die when `cut`.
async fn storm(seed: u64, cut: bool) {
    let replicas = Replicas::open(3, 5).await;
    let (mut race, latest) = (JoinSet::new(), Arc::new(AtomicU64::new(100)));
    for worker in 0..12_u64 {
        let (store, latest) = (replicas.any(usize::try_from(worker).unwrap()), latest.clone());
        race.spawn(async move {
            let mut chance = Chance(seed * 1_000 + worker + 1);
            for step in 0..40 {
                act(&*store, &latest, &format!("{worker}-{step}"), &mut chance).await;
            }
        });
    }
    let mut aside = replicas.schema.aside().await;
    let storming = async {
        while !race.is_empty() {
            tokio::select! {
                done = race.join_next() => done.unwrap().unwrap(),
                // sleep: the storm goes on meanwhile
                () = tokio::time::sleep(Duration::from_millis(150)), if cut => {
                    replicas.schema.cut(&mut aside).await;
                }
            }
        }
    };
    tokio::time::timeout(SOON, storming).await.unwrap();
    replicas.audit().await;
    let happened = "SELECT least(count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'cancelled')) FROM payments";
    assert!(replicas.count(happened).await > 0, "seed {seed}: something was bought and something given back");
}

/// One random thing somebody does; what is not answered is asked again under its key, as callers do.
async fn act(store: &dyn ReservationStore, latest: &AtomicU64, id: &str, chance: &mut Chance) {
    let owner = visitor(chance.below(6) + 1).owner;
    match chance.below(9) {
        0..=4 => {
            let number = latest.fetch_add(1, Ordering::Relaxed);
            visit(store, &Slot { owner, number, expires_at: T0.plus_seconds(300) }, id, chance).await;
        }
        5 => {
            let number = latest.load(Ordering::Relaxed) - chance.below(6);
            answered(|| store.end_slot(&owner.room, number, T0)).await;
        }
        6..=7 => {
            let page = answered(|| store.payments(&owner, PageRange { after: None, limit: 2 })).await;
            for payment in page.items {
                let wish = OwnWish {
                    owner: owner.clone(),
                    id: payment.payment_id.clone(),
                    key: None,
                    traceparent: None,
                };
                answered(|| store.request_cancel(wish.clone(), T0)).await;
                let asked = payment.facts(&owner.room);
                answered(|| store.compensate(&asked, T0)).await;
            }
        }
        _ => {
            answered(|| store.sweep(T0.plus_seconds(301), 100)).await;
            answered(|| store.recall_cancellations(T0.plus_seconds(1), 10, T0)).await;
        }
    }
}

/// Somebody inside holds a seat, and mostly pays for it, with two browser tabs at once.
async fn visit(store: &dyn ReservationStore, slot: &Slot, id: &str, chance: &mut Chance) {
    let hold = HoldWish {
        key: Some(key(Operation::Hold, id)),
        reservation_id: format!("r-{id}"),
        ..hold_wish(slot, &format!("A{}", chance.below(5) + 1))
    };
    answered(|| store.hold(hold.clone(), T0)).await;
    let charge =
        ChargeWish { key: key(Operation::Charge, id), ..charge_wish(slot, &format!("ch-{id}"), PRICE) };
    answered(|| store.charge(charge.clone(), T0)).await;
    if chance.below(5) == 0 {
        answered(|| store.give_back(own(slot, &hold.reservation_id), T0)).await;
        return;
    }
    let tab = |name: &str| pay_wish(slot, &format!("p-{id}-{name}"), &hold.reservation_id);
    let (one, two) = (tab("one"), tab("two"));
    tokio::join!(answered(|| store.pay(one.clone(), T0)), answered(|| store.pay(two.clone(), T0)));
}

async fn answered<T, F: Future<Output = Result<T, StoreError>>>(ask: impl Fn() -> F) -> T {
    for _ in 0..200 {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never answered")
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 16) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_and_seats_agree_after_a_storm() {
    for seed in 0..2 {
        storm(seed, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_and_seats_agree_after_a_storm_in_which_connections_die() {
    for seed in 10..12 {
        storm(seed, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_whose_connection_was_cut_counts_once() {
    let replicas = Replicas::open(2, 1).await;
    let mut race = JoinSet::new();
    for at in 0..60_usize {
        let (store, slot) = (replicas.any(at), visitor(u64::try_from(at % 4).unwrap() + 1));
        let wish = charge_wish(&slot, &format!("ch-{at}"), 100);
        race.spawn(async move { answered(|| store.charge(wish.clone(), T0)).await });
    }
    let mut aside = replicas.schema.aside().await;
    let mut cut = 0;
    while !race.is_empty() {
        cut += replicas.schema.cut(&mut aside).await;
        race.join_next().await.unwrap().unwrap();
    }
    assert!(cut > 5, "connections died: {cut}");
    for number in 1..=4 {
        assert_eq!(replicas.stores[0].balance(&visitor(number).owner).await.unwrap().amount_minor, 1_500);
    }
    replicas.audit().await;
}

#[tokio::test]
async fn rooms_are_apart() {
    let replicas = Replicas::open(1, 1).await;
    let elsewhere = RoomId::parse("elsewhere").unwrap();
    let store = replicas.any(0);
    let names: HashSet<_> = [visitor(1).owner.room, elsewhere.clone()].into();
    for room in names {
        let slot = Slot { owner: Owner { room, sub: "same".to_owned() }, ..visitor(1) };
        let charged =
            store.charge(charge_wish(&slot, &format!("ch-{}", slot.owner.room), 7), T0).await.unwrap();
        assert!(matches!(charged, Answered::Now(ChargeOutcome::Charged(_))), "{charged:?}");
        assert_eq!(store.balance(&slot.owner).await.unwrap().amount_minor, 7);
    }
}
