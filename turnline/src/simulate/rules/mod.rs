//! The rules that never break, as named checks that observations from outside can disprove.
//! Pure: no sockets, no clock; fed by a [`Witness`] a visitor and judged as a whole by [`judge`].

mod judge;
mod money;
mod probe;
mod room;
pub mod tally;
mod witness;

use std::time::Duration;

pub use judge::{RunEnd, alone, judge};
pub use money::{Audit, LedgerLine, judge_audit};
pub use probe::{judge_key_repeat, judge_pass, judge_refusal};
pub use room::{RoomSample, RoomWatch};
pub use tally::Consequence;
pub use witness::{Fact, Witness};

/// Time since the run began.
pub type At = Duration;

/// How much later than another's an observation may come without proving a wrong order:
/// two sockets, one tick of the server and a busy machine lie between.
pub const TOLERANCE: Duration = Duration::from_secs(5);

/// One observable consequence of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    ActiveWithinCapacity,
    OwnWithinCapacity,
    NumbersUnique,
    NumbersFollowArrival,
    AdmissionFollowsLine,
    AdmittedOnce,
    TicketOpens,
    RejoinKeepsPlace,
    EndsByOwnAct,
    SlotsComeBack,
    SeatSoldOnce,
    SoldSeatsListed,
    BalanceIsLedger,
    MoneyIffPaid,
    KeyRepeatsAnswer,
    PositionNeverGrows,
    PositionWhole,
    StayersCalled,
    ForgedRefused,
    PassVerifies,
}

impl Consequence for Check {
    const ALL: &'static [Self] = &[
        Check::ActiveWithinCapacity,
        Check::OwnWithinCapacity,
        Check::NumbersUnique,
        Check::NumbersFollowArrival,
        Check::AdmissionFollowsLine,
        Check::AdmittedOnce,
        Check::TicketOpens,
        Check::RejoinKeepsPlace,
        Check::EndsByOwnAct,
        Check::SlotsComeBack,
        Check::SeatSoldOnce,
        Check::SoldSeatsListed,
        Check::BalanceIsLedger,
        Check::MoneyIffPaid,
        Check::KeyRepeatsAnswer,
        Check::PositionNeverGrows,
        Check::PositionWhole,
        Check::StayersCalled,
        Check::ForgedRefused,
        Check::PassVerifies,
    ];

    /// The rule's number in the design's list.
    fn rule(self) -> u8 {
        match self {
            Check::ActiveWithinCapacity | Check::OwnWithinCapacity => 1,
            Check::NumbersUnique
            | Check::NumbersFollowArrival
            | Check::AdmissionFollowsLine
            | Check::AdmittedOnce => 2,
            Check::TicketOpens | Check::RejoinKeepsPlace | Check::EndsByOwnAct => 3,
            Check::SlotsComeBack => 4,
            Check::SeatSoldOnce
            | Check::SoldSeatsListed
            | Check::BalanceIsLedger
            | Check::MoneyIffPaid
            | Check::KeyRepeatsAnswer => 5,
            Check::PositionNeverGrows | Check::PositionWhole | Check::StayersCalled => 6,
            Check::ForgedRefused | Check::PassVerifies => 7,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Check::ActiveWithinCapacity => "active_within_capacity",
            Check::OwnWithinCapacity => "own_admitted_within_capacity",
            Check::NumbersUnique => "numbers_unique",
            Check::NumbersFollowArrival => "numbers_follow_arrival",
            Check::AdmissionFollowsLine => "admission_follows_line",
            Check::AdmittedOnce => "admitted_once",
            Check::TicketOpens => "ticket_opens",
            Check::RejoinKeepsPlace => "rejoin_keeps_place",
            Check::EndsByOwnAct => "ends_by_own_act",
            Check::SlotsComeBack => "slots_come_back",
            Check::SeatSoldOnce => "seat_sold_once",
            Check::SoldSeatsListed => "sold_seats_listed",
            Check::BalanceIsLedger => "balance_is_ledger",
            Check::MoneyIffPaid => "money_iff_paid",
            Check::KeyRepeatsAnswer => "key_repeats_answer",
            Check::PositionNeverGrows => "position_never_grows",
            Check::PositionWhole => "position_whole",
            Check::StayersCalled => "stayers_called",
            Check::ForgedRefused => "forged_refused",
            Check::PassVerifies => "pass_verifies",
        }
    }

    /// What is looked at, for the report's reader.
    fn meaning(self) -> &'static str {
        match self {
            Check::ActiveWithinCapacity => "every sample of the room has active within capacity",
            Check::OwnWithinCapacity => "own visitors inside at one time are no more than the capacity",
            Check::NumbersUnique => "no number was given to two visitors",
            Check::NumbersFollowArrival => "who joined after another's answer has the larger number",
            Check::AdmissionFollowsLine => {
                "nobody who stayed was called after, or waits behind, a larger number"
            }
            Check::AdmittedOnce => "nobody was admitted again after the end, or put back in line",
            Check::TicketOpens => "a ticket that was given is never refused",
            Check::RejoinKeepsPlace => "joining again, reloading and asking again show the same number",
            Check::EndsByOwnAct => "nobody's ticket ended for a reason that is not their own act",
            Check::SlotsComeBack => "after everyone is done no slot stays taken",
            Check::SeatSoldOnce => "no seat was confirmed for two visitors",
            Check::SoldSeatsListed => "every seat that was paid for is listed as sold",
            Check::BalanceIsLedger => "a balance is the sum of its ledger and never negative",
            Check::MoneyIffPaid => {
                "money was taken exactly where a payment completed and its seat is confirmed"
            }
            Check::KeyRepeatsAnswer => "the same Idempotency-Key gives the same payment",
            Check::PositionNeverGrows => "a position told to a visitor never grows, reconnects included",
            Check::PositionWhole => "position messages have every field and ahead = position - 1",
            Check::StayersCalled => "everyone who stayed was called",
            Check::ForgedRefused => "forged, foreign and missing tokens get 401",
            Check::PassVerifies => "a pass verifies offline with the published keys",
        }
    }
}

/// What the run found of every check.
pub type Tally = tally::Tally<Check>;

fn seconds(at: At) -> String {
    format!("{:.3} s", at.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::tally::Found;
    use super::*;

    #[test]
    fn every_check_has_its_own_name_and_a_rule_of_the_seven() {
        let mut names: Vec<_> = Check::ALL.iter().map(|check| check.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Check::ALL.len());
        for rule in 1..=7 {
            assert!(Check::ALL.iter().any(|check| check.rule() == rule), "rule {rule} has no check");
        }
    }

    #[test]
    fn a_tally_counts_all_and_keeps_the_first_examples() {
        let mut tally = Tally::default();
        for i in 0..10 {
            tally.judge(Check::NumbersUnique, i % 2 == 0, || format!("case {i}"));
        }
        let found = tally.of(Check::NumbersUnique);
        assert_eq!((found.checked, found.broken), (10, 5));
        assert_eq!(found.examples.first().map(String::as_str), Some("case 1"));
        assert_eq!(tally.broken(), 5);
        assert_eq!(tally.of(Check::PassVerifies), Found::default());
    }
}
