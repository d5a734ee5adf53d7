//! The seven rules, as far as the kernel goes, over random commands: a room, decided upon as the services
//! do, beside a simple shadow of it that knows only queues and sets. A failure prints its smallest case.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod house;
mod shadow;

use kernel::control::Order;
use proptest::prelude::*;
use proptest::sample::Index;

use house::House;

/// What may happen to a room.
#[derive(Debug, Clone)]
pub enum Act {
    /// Strangers, of whom every third goes to the fast lane when `mixed`.
    Join {
        count: u64,
        mixed: bool,
    },
    /// One of some known visitors, with or without an idempotency key.
    JoinKnown {
        visitor: u8,
        key: bool,
    },
    /// Somebody shows the ticket they hold, or held.
    JoinHolding(Index),
    Leave(Index),
    Revoke(Index),
    /// A called or active visitor is heard of.
    Claim(Index),
    Renew(Index),
    Pay(Index),
    /// Goes away, or comes back.
    Away(Index),
    Back(Index),
    /// Time passes, and then admission and expiration do their rounds.
    Tick {
        ms: u64,
    },
    /// Admission decides, the capacity changes, and only then the store is asked.
    LateCall {
        capacity: u64,
    },
    Configure {
        capacity: u64,
        rate: Option<u64>,
        weight: u32,
        most: Option<u64>,
    },
    Order(Order),
    /// Expiration starts anew and knows nobody's absence.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let index = any::<Index>;
    prop_oneof![
        4 => (1..40u64, any::<bool>()).prop_map(|(count, mixed)| Act::Join { count, mixed }),
        1 => (300..700u64).prop_map(|count| Act::Join { count, mixed: false }),
        3 => (0..20u8, any::<bool>()).prop_map(|(visitor, key)| Act::JoinKnown { visitor, key }),
        2 => index().prop_map(Act::JoinHolding),
        3 => index().prop_map(Act::Leave),
        1 => index().prop_map(Act::Revoke),
        5 => index().prop_map(Act::Claim),
        2 => index().prop_map(Act::Renew),
        4 => index().prop_map(Act::Pay),
        3 => index().prop_map(Act::Away),
        2 => index().prop_map(Act::Back),
        8 => (0..20_000u64).prop_map(|ms| Act::Tick { ms }),
        2 => (0..12u64).prop_map(|capacity| Act::LateCall { capacity }),
        2 => (0..12u64, prop::option::of(1..200u64), 1..5u32, prop::option::of(1..60u64))
            .prop_map(|(capacity, rate, weight, most)| Act::Configure { capacity, rate, weight, most }),
        2 => prop_oneof![
            3 => Just(Order::Open),
            1 => Just(Order::Pause),
            2 => Just(Order::Resume),
            1 => Just(Order::Close),
        ]
        .prop_map(Act::Order),
        1 => Just(Act::Restart),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..100)
}

/// By what a visitor may be known: a ticket, who they are, a key.
#[derive(Debug, Clone)]
pub struct Wish {
    pub holding: Option<Index>,
    pub visitor: Option<u8>,
    pub key: Option<u8>,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish =
        (prop::option::weighted(0.2, any::<Index>()), prop::option::of(0..9u8), prop::option::of(0..9u8))
            .prop_map(|(holding, visitor, key)| Wish { holding, visitor, key });
    prop::collection::vec(wish, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_whatever_happens(acts in acts(), lottery: bool) {
        let mut house = House::new(lottery);
        for act in &acts {
            house.act(act);
            house.check();
        }
        house.everyone_who_stays_is_called();
    }

    #[test]
    fn a_room_is_the_fold_of_its_events(acts in acts(), lottery: bool) {
        let mut house = House::new(lottery);
        acts.iter().for_each(|act| house.act(act));
        house.rebuilds_from_its_events();
        house.survives_being_written_down();
    }

    #[test]
    fn a_batch_is_its_joins_one_after_another(acts in acts(), wishes in wishes()) {
        let mut house = House::new(false);
        acts.iter().for_each(|act| house.act(act));
        house.joins_alike(&wishes);
    }

    #[test]
    fn a_node_that_hears_twice_or_starts_late_sees_the_same(acts in acts(), from in any::<Index>()) {
        let mut house = House::new(false);
        acts.iter().for_each(|act| house.act(act));
        house.follows_from(from);
    }
}
