//! What those who only wait can disprove, and what was found.

use serde::{Deserialize, Serialize};

use crate::simulate::rules::tally::{Consequence, Tally};

/// One observable consequence of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    NumbersUnique,
    TicketOpens,
    NumberKept,
    PlaceKept,
    PositionNeverGrows,
    PositionWhole,
    HeardInTime,
    FiguresAgree,
    FiguresFresh,
}

impl Consequence for Check {
    const ALL: &'static [Self] = &[
        Check::NumbersUnique,
        Check::TicketOpens,
        Check::NumberKept,
        Check::PlaceKept,
        Check::PositionNeverGrows,
        Check::PositionWhole,
        Check::HeardInTime,
        Check::FiguresAgree,
        Check::FiguresFresh,
    ];

    /// The rule's number in the design's list.
    fn rule(self) -> u8 {
        match self {
            Check::NumbersUnique => 2,
            Check::TicketOpens | Check::NumberKept | Check::PlaceKept => 3,
            Check::PositionNeverGrows
            | Check::PositionWhole
            | Check::HeardInTime
            | Check::FiguresAgree
            | Check::FiguresFresh => 6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Check::NumbersUnique => "numbers_unique",
            Check::TicketOpens => "ticket_opens",
            Check::NumberKept => "number_kept",
            Check::PlaceKept => "place_kept",
            Check::PositionNeverGrows => "position_never_grows",
            Check::PositionWhole => "position_whole",
            Check::HeardInTime => "heard_in_time",
            Check::FiguresAgree => "figures_agree",
            Check::FiguresFresh => "figures_fresh",
        }
    }

    /// What is looked at, for the report's reader.
    fn meaning(self) -> &'static str {
        match self {
            Check::NumbersUnique => "no number was given to two visitors",
            Check::TicketOpens => "a ticket that was given is never refused",
            Check::NumberKept => "asked at the end, a ticket shows the number it was given",
            Check::PlaceKept => "nobody's place ended while they waited",
            Check::PositionNeverGrows => {
                "a position told to a visitor never grows, neither on a connection nor after coming back"
            }
            Check::PositionWhole => {
                "every message can be read, positions with every field and ahead = position - 1"
            }
            Check::HeardInTime => "who opened a channel heard of their place within 30 s",
            Check::FiguresAgree => "asked at the end, tickets/me and the channel tell the same position",
            Check::FiguresFresh => "at the end nobody's position was older than the bound, in a plain line",
        }
    }
}

/// Findings of all checks.
pub type Findings = Tally<Check>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_several_processes_are_one() {
        let mut all = Findings::default();
        for process in 0..3 {
            let mut own = Findings::default();
            for i in 0..4 {
                own.judge(Check::PositionNeverGrows, i % 2 == 0, || format!("{process}.{i}"));
            }
            all.add(own);
        }
        let report = all.report();
        let grown = report.iter().find(|rule| rule.check == "position_never_grows").unwrap();
        assert_eq!((grown.checked, grown.broken, grown.examples.len()), (12, 6, 5));
        assert_eq!(all.broken(), 6);
        all.forget(Check::PositionNeverGrows);
        assert_eq!(all.broken(), 0);
        assert_eq!(report.len(), Check::ALL.len());
    }

    #[test]
    fn a_check_travels_by_its_name() {
        for check in Check::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
    }
}
