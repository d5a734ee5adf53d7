//! The model test: random verbs for a store and for a simple shop in memory, every outcome compared, and
//! after each: a seat is one visitor's, a balance is the sum of its ledger and never negative, money was
//! taken exactly for the seats that are confirmed.

use std::sync::Arc;

use super::{MAX_HOLDS, PRICE, balance, charge_wish, hall, hold_wish, key, open_shop, own_wish, pay_wish};
use crate::contract::T0;
use crate::contract::chance::Chance;
use crate::ports::ReservationStore;
use crate::ports::reservations::{Answered, CancelOutcome, Compensated, HoldOutcome, Operation, PayOutcome};
use crate::reservation::{Failure, Hold, Owner, Slot};
use crate::words::Timestamp;

const VERBS: usize = 120;
const SEATS: usize = 5;
const VISITORS: usize = 4;

/// What a reservation is in the simple shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Held(Timestamp),
    Confirmed,
    Over,
    Cancelled,
}

struct Booked {
    id: String,
    place: usize,
    visitor: usize,
    number: u64,
    stand: Stand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paid {
    Completed,
    Failed,
    Cancelling,
    Cancelled,
}

struct Bill {
    id: String,
    reservation: usize,
    stand: Paid,
}

struct Simple {
    now: Timestamp,
    slots: Vec<Slot>,
    ended: Vec<bool>,
    next_number: u64,
    booked: Vec<Booked>,
    bills: Vec<Bill>,
    balances: Vec<i64>,
}

pub async fn agrees_with_a_simple_shop(store: Arc<dyn ReservationStore>, seed: u64) {
    open_shop(&*store, SEATS).await;
    let (mut chance, mut simple) = (Chance::of(seed), Simple::new());
    for at in 0..VERBS {
        simple.now = simple.now.plus_millis(chance.below(12_000));
        let visitor = chance.below(VISITORS as u64) as usize;
        let told = match chance.below(12) {
            0..=3 => simple.hold(&*store, visitor, chance.below(SEATS as u64) as usize, at).await,
            4..=5 => simple.pay(&*store, visitor, &mut chance, at).await,
            6 => simple.charge(&*store, visitor, chance.below(3) as i64 * PRICE / 2 + 1, at).await,
            7 => simple.give_back(&*store, visitor, &mut chance).await,
            8 => simple.cancel(&*store, &mut chance).await,
            9 => simple.compensate(&*store, &mut chance).await,
            10 => simple.move_slot(&*store, visitor, &mut chance).await,
            _ => simple.sweep(&*store).await,
        };
        simple.check(&*store, &format!("seed {seed}, verb {at}, {told}")).await;
    }
}

impl Simple {
    fn new() -> Self {
        let slot = |visitor: usize| Slot {
            owner: Owner { room: hall(), sub: format!("v:{visitor}") },
            number: visitor as u64 + 1,
            expires_at: T0.plus_seconds(120),
        };
        Self {
            now: T0,
            slots: (0..VISITORS).map(slot).collect(),
            ended: vec![false; VISITORS],
            next_number: VISITORS as u64 + 1,
            booked: Vec::new(),
            bills: Vec::new(),
            balances: vec![0; VISITORS],
        }
    }

    fn outside(&self, visitor: usize) -> bool {
        self.ended[visitor] || self.now >= self.slots[visitor].expires_at
    }

    fn lives(&self, booked: &Booked) -> bool {
        matches!(booked.stand, Stand::Held(until) if until > self.now)
    }

    async fn hold(
        &mut self,
        store: &dyn ReservationStore,
        visitor: usize,
        place: usize,
        at: usize,
    ) -> String {
        let slot = self.slots[visitor].clone();
        let mut wish = hold_wish(&slot, &format!("A{}", place + 1));
        wish.reservation_id = format!("r{at}");
        let taken = |one: &&Booked| one.place == place && (self.lives(one) || one.stand == Stand::Confirmed);
        let mine = |one: &&Booked| one.number == slot.number && self.lives(one);
        let expected = if self.outside(visitor) {
            "SlotEnded"
        } else if self.booked.iter().any(|one| taken(&one)) {
            "SeatTaken"
        } else if self.booked.iter().filter(mine).count() as u64 >= MAX_HOLDS {
            "Limit"
        } else {
            "Held"
        };
        let answer = store.hold(wish, self.now).await.unwrap();
        let Answered::Now(outcome) = answer else { panic!("{answer:?}") };
        let got = match &outcome {
            HoldOutcome::Held(_) => "Held",
            HoldOutcome::SeatTaken => "SeatTaken",
            HoldOutcome::Limit => "Limit",
            HoldOutcome::SlotEnded => "SlotEnded",
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expected, "hold {at} of A{} by {visitor} at {}", place + 1, self.now);
        if got == "Held" {
            // Whoever held it before is over by now.
            let former = self.booked.iter_mut().filter(|one| one.place == place);
            former.filter(|one| matches!(one.stand, Stand::Held(_))).for_each(|one| one.stand = Stand::Over);
            let (id, stand) = (format!("r{at}"), Stand::Held(slot.expires_at));
            self.booked.push(Booked { id, place, visitor, number: slot.number, stand });
        }
        format!("hold A{} by {visitor}: {got}", place + 1)
    }

    async fn pay(
        &mut self,
        store: &dyn ReservationStore,
        visitor: usize,
        chance: &mut Chance,
        at: usize,
    ) -> String {
        if self.booked.is_empty() {
            return "nothing to pay".to_owned();
        }
        let chosen = chance.below(self.booked.len() as u64) as usize;
        let slot = self.slots[visitor].clone();
        let (own, stand) = (self.booked[chosen].visitor == visitor, self.booked[chosen].stand);
        let same_slot = self.booked[chosen].number == slot.number;
        let lasting = match stand {
            Stand::Held(until) if same_slot => Stand::Held(until.max(slot.expires_at)),
            other => other,
        };
        let expected = match lasting {
            _ if !own => "Unknown",
            _ if self.outside(visitor) => "SlotEnded",
            Stand::Confirmed | Stand::Cancelled => "Refused",
            Stand::Over => "Late",
            Stand::Held(until) if until <= self.now => "Late",
            Stand::Held(_) if self.balances[visitor] < PRICE => "Poor",
            Stand::Held(_) => "Completed",
        };
        let wish = pay_wish(&slot, &format!("p{at}"), &self.booked[chosen].id);
        let answer = store.pay(wish.clone(), self.now).await.unwrap();
        let Answered::Now(outcome) = answer else { panic!("{answer:?}") };
        let got = match &outcome {
            PayOutcome::Completed(_) => "Completed",
            PayOutcome::Failed(_, Failure::InsufficientBalance) => "Poor",
            PayOutcome::Failed(_, Failure::HoldExpired) => "Late",
            PayOutcome::Refused(_) => "Refused",
            PayOutcome::UnknownReservation => "Unknown",
            PayOutcome::SlotEnded => "SlotEnded",
        };
        assert_eq!(got, expected, "payment {at} by {visitor} of {}", self.booked[chosen].id);
        let kept = matches!(got, "Completed" | "Poor" | "Late");
        if kept {
            let again = store.pay(wish, self.now).await.unwrap();
            assert_eq!(again, Answered::Before(outcome), "payment {at} again");
            let stand = if got == "Completed" { Paid::Completed } else { Paid::Failed };
            self.bills.push(Bill { id: format!("p{at}"), reservation: chosen, stand });
        }
        if got == "Completed" {
            self.booked[chosen].stand = Stand::Confirmed;
            self.balances[visitor] -= PRICE;
            self.end(visitor);
        }
        format!("pay {} by {visitor}: {got}", self.booked[chosen].id)
    }

    async fn charge(
        &mut self,
        store: &dyn ReservationStore,
        visitor: usize,
        amount: i64,
        at: usize,
    ) -> String {
        let wish = charge_wish(&self.slots[visitor], &format!("c{at}"), amount);
        for _ in 0..2 {
            store.charge(wish.clone(), self.now).await.unwrap();
        }
        if !self.outside(visitor) {
            self.balances[visitor] += amount;
        }
        format!("charge {amount} by {visitor}")
    }

    async fn give_back(
        &mut self,
        store: &dyn ReservationStore,
        visitor: usize,
        chance: &mut Chance,
    ) -> String {
        if self.booked.is_empty() {
            return "nothing to give back".to_owned();
        }
        let chosen = chance.below(self.booked.len() as u64) as usize;
        let mut wish = own_wish(&self.slots[visitor], &self.booked[chosen].id);
        wish.key = chance.one_in(2).then(|| key(Operation::GiveBack, &wish.id, &wish.id));
        store.give_back(wish, self.now).await.unwrap();
        let one = &mut self.booked[chosen];
        if one.visitor == visitor && matches!(one.stand, Stand::Held(_)) {
            one.stand = Stand::Over;
        }
        format!("{} given back by {visitor}", one.id)
    }

    async fn cancel(&mut self, store: &dyn ReservationStore, chance: &mut Chance) -> String {
        if self.bills.is_empty() {
            return "nothing to cancel".to_owned();
        }
        let bill = chance.below(self.bills.len() as u64) as usize;
        let visitor = self.booked[self.bills[bill].reservation].visitor;
        let wish = own_wish(&self.slots[visitor], &self.bills[bill].id);
        let answer = store.request_cancel(wish, self.now).await.unwrap();
        let accepted = matches!(answer, Answered::Now(CancelOutcome::Accepted(_)));
        assert_eq!(accepted, self.bills[bill].stand != Paid::Failed, "{answer:?}");
        if self.bills[bill].stand == Paid::Completed {
            self.bills[bill].stand = Paid::Cancelling;
        }
        format!("cancel {}", self.bills[bill].id)
    }

    async fn compensate(&mut self, store: &dyn ReservationStore, chance: &mut Chance) -> String {
        if self.bills.is_empty() {
            return "nothing to compensate".to_owned();
        }
        let bill = chance.below(self.bills.len() as u64) as usize;
        let chosen = self.bills[bill].reservation;
        let visitor = self.booked[chosen].visitor;
        let row = store.payment(&self.slots[visitor].owner, &self.bills[bill].id).await.unwrap().unwrap();
        let done = store.compensate(&row.facts(&hall()), self.now).await.unwrap();
        assert_eq!(
            matches!(done, Compensated::Done { .. }),
            self.bills[bill].stand == Paid::Cancelling,
            "{done:?}"
        );
        if self.bills[bill].stand == Paid::Cancelling {
            self.bills[bill].stand = Paid::Cancelled;
            self.booked[chosen].stand = Stand::Cancelled;
            self.balances[visitor] += PRICE;
        }
        format!("compensate {}", self.bills[bill].id)
    }

    /// The slot is renewed, ends, or is followed by a new one of the same visitor.
    async fn move_slot(
        &mut self,
        store: &dyn ReservationStore,
        visitor: usize,
        chance: &mut Chance,
    ) -> String {
        let number = self.slots[visitor].number;
        if self.outside(visitor) {
            self.slots[visitor].number = self.next_number;
            self.slots[visitor].expires_at = self.now.plus_seconds(120);
            self.next_number += 1;
            self.ended[visitor] = false;
            return format!("{visitor} comes back");
        }
        if chance.one_in(2) {
            store.end_slot(&hall(), number, self.now).await.unwrap();
            self.end(visitor);
            return format!("{visitor} leaves");
        }
        let until = self.now.plus_seconds(120);
        self.slots[visitor].expires_at = until;
        let told = chance.one_in(2);
        if told {
            store.extend_slot(&hall(), number, until, self.now).await.unwrap();
            for one in self.booked.iter_mut().filter(|one| one.number == number) {
                if let Stand::Held(before) = one.stand {
                    one.stand = Stand::Held(before.max(until));
                }
            }
        }
        format!("{visitor} renews (told: {told})")
    }

    async fn sweep(&mut self, store: &dyn ReservationStore) -> String {
        store.sweep(self.now, 100).await.unwrap();
        let now = self.now;
        let due =
            self.booked.iter_mut().filter(|one| matches!(one.stand, Stand::Held(until) if until <= now));
        due.for_each(|one| one.stand = Stand::Over);
        "sweep".to_owned()
    }

    fn end(&mut self, visitor: usize) {
        self.ended[visitor] = true;
        let number = self.slots[visitor].number;
        let held = self.booked.iter_mut().filter(|one| one.number == number);
        held.filter(|one| matches!(one.stand, Stand::Held(_))).for_each(|one| one.stand = Stand::Over);
    }

    async fn check(&self, store: &dyn ReservationStore, at: &str) {
        let taken = store.taken("c-1", self.now).await.unwrap();
        let mut places: Vec<_> = taken.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        let stands = |one: &&Booked| self.lives(one) || one.stand == Stand::Confirmed;
        let mut expected: Vec<_> = self.booked.iter().filter(stands).map(|one| one.place).collect();
        expected.sort_unstable();
        assert_eq!(places, expected, "{at}: which seats are taken");
        expected.dedup();
        assert_eq!(places, expected, "{at}: a seat is one visitor's");
        for (visitor, slot) in self.slots.iter().enumerate() {
            let theirs = balance(store, slot).await;
            assert!(theirs >= 0, "{at}: {visitor} owes");
            assert_eq!(theirs, self.balances[visitor], "{at}: the balance of {visitor}");
        }
        for (at_booked, one) in self.booked.iter().enumerate() {
            let owner = &self.slots[one.visitor].owner;
            let stored = store.reservation(owner, &one.id).await.unwrap().unwrap();
            let has_money = |bill: &&Bill| {
                bill.reservation == at_booked && matches!(bill.stand, Paid::Completed | Paid::Cancelling)
            };
            let paid = self.bills.iter().filter(has_money).count();
            assert_eq!(paid, usize::from(stored.hold == Hold::Confirmed), "{at}: money taken for {}", one.id);
        }
    }
}
