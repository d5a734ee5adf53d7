//! What one visitor saw, in order, and the rules one visitor alone can disprove.

use super::super::message::{Position, Reason};
use super::{At, Check, TOLERANCE, Tally, seconds};

/// One thing a visitor did or saw.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The first attempt to join.
    JoinAsked,
    Joined {
        number: u64,
        prequeue: bool,
    },
    /// The place was shown again: joined again, reloaded, asked.
    PlaceShown {
        number: u64,
        how: &'static str,
    },
    TicketRefused {
        status: u16,
        how: &'static str,
    },
    /// A pass that was given was refused.
    PassRefused {
        status: u16,
        how: &'static str,
    },
    Connected,
    Cut,
    /// `known_at`: a time at which the server still counted the visitor as waiting.
    Position {
        place: Position,
        known_at: At,
    },
    Malformed(String),
    /// The channel says the room is not open yet.
    Prequeue,
    /// `iat` and `exp` of the pass, in seconds of the server's clock.
    Admitted {
        iat: Option<u64>,
        exp: Option<u64>,
    },
    LeaveAsked,
    Abandoned,
    /// A payment is about to be sent.
    PayAsked,
    /// A payment was answered as completed, for this seat.
    Paid {
        seat: String,
    },
    /// An admitted visitor is about to give the slot back.
    ReleaseAsked,
    Ended(Reason),
}

/// One visitor's memory.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    pub number: Option<u64>,
    pub join_asked: Option<At>,
    pub joined: Option<At>,
    pub prequeue: bool,
    pub connected_since: Option<At>,
    pub last_position: Option<u64>,
    pub last_waiting: Option<At>,
    pub admitted: Option<At>,
    pub iat: Option<u64>,
    pub exp: Option<u64>,
    pub release_asked: Option<At>,
    pub pay_asked: bool,
    pub seat: Option<String>,
    pub left: bool,
    pub abandoned: bool,
    pub ended: Option<(At, Reason)>,
}

impl Witness {
    /// Did nothing to lose the place.
    pub fn stays(&self) -> bool {
        !self.left && !self.abandoned
    }

    /// Takes in one fact and tallies what it proves.
    pub fn see(&mut self, fact: Fact, at: At, tally: &mut Tally) {
        match fact {
            Fact::JoinAsked => self.join_asked = Some(self.join_asked.unwrap_or(at)),
            Fact::Joined { number, prequeue } => {
                self.number = Some(number);
                self.joined = Some(at);
                self.prequeue |= prequeue;
            }
            Fact::PlaceShown { number, how } => {
                let held = self.number.unwrap_or(number);
                tally.judge(Check::TicketOpens, true, String::new);
                tally.judge(Check::RejoinKeepsPlace, number == held, || {
                    format!("number {held} became {number} ({how}) at {}", seconds(at))
                });
            }
            Fact::TicketRefused { status, how } => {
                tally.judge(Check::TicketOpens, false, || {
                    format!("{}: {how} answered {status} at {}", self.name(), seconds(at))
                });
            }
            Fact::PassRefused { status, how } => {
                let over = self.ended.is_some() || self.had_its_time(at);
                tally.judge(Check::TicketOpens, over, || {
                    format!("{}: {how} answered {status} at {}", self.name(), seconds(at))
                });
            }
            Fact::Connected => {
                self.connected_since = Some(at);
                tally.judge(Check::TicketOpens, true, String::new);
            }
            Fact::Cut => self.connected_since = None,
            Fact::Position { place, known_at } => self.see_position(place, known_at, at, tally),
            Fact::Malformed(what) => {
                tally.judge(Check::PositionWhole, false, || format!("{}: {what}", self.name()));
            }
            Fact::Prequeue => self.prequeue = true,
            Fact::Admitted { iat, exp } => self.see_admitted(iat, exp, at, tally),
            Fact::LeaveAsked => self.left = true,
            Fact::Abandoned => {
                self.abandoned = true;
                self.connected_since = None;
            }
            Fact::PayAsked => {
                self.pay_asked = true;
                self.release_asked = Some(self.release_asked.unwrap_or(at));
            }
            Fact::Paid { seat } => self.seat = Some(seat),
            Fact::ReleaseAsked => {
                self.left = true;
                self.release_asked = Some(self.release_asked.unwrap_or(at));
            }
            Fact::Ended(reason) => self.see_ended(reason, at, tally),
        }
    }

    /// How the examples name a visitor.
    pub fn name(&self) -> String {
        self.number.map_or_else(|| "a visitor without number".into(), |number| format!("number {number}"))
    }

    fn see_position(&mut self, place: Position, known_at: At, at: At, tally: &mut Tally) {
        let Position { position, ahead, .. } = place;
        tally.judge(Check::PositionWhole, position >= 1 && ahead + 1 == position, || {
            format!("{}: position {position} with ahead {ahead}", self.name())
        });
        if let Some(before) = self.last_position {
            tally.judge(Check::PositionNeverGrows, position <= before, || {
                format!("{}: position {before} became {position} at {}", self.name(), seconds(at))
            });
        }
        // Polls may overtake the channel's message, never by more than the tolerance.
        if let Some(admitted) = self.admitted {
            tally.judge(Check::AdmittedOnce, known_at <= admitted + TOLERANCE, || {
                format!("{}: admitted, then position {position} at {}", self.name(), seconds(at))
            });
        }
        self.last_position = Some(position);
        self.last_waiting = Some(self.last_waiting.map_or(known_at, |last| last.max(known_at)));
    }

    fn see_admitted(&mut self, iat: Option<u64>, exp: Option<u64>, at: At, tally: &mut Tally) {
        let over = self.ended.is_some();
        tally.judge(Check::AdmittedOnce, !over, || {
            format!("{}: admitted again after the end at {}", self.name(), seconds(at))
        });
        if self.admitted.is_none() {
            self.admitted = Some(at);
            self.iat = iat;
        }
        self.exp = self.exp.max(exp);
    }

    fn see_ended(&mut self, reason: Reason, at: At, tally: &mut Tally) {
        if self.ended.is_none() {
            let holds = self.may_end(reason, at);
            tally.judge(Check::EndsByOwnAct, holds, || {
                format!("{}: ended as {reason:?} at {}", self.name(), seconds(at))
            });
            self.ended = Some((at, reason));
        }
    }

    fn may_end(&self, reason: Reason, at: At) -> bool {
        match reason {
            Reason::Paid => self.pay_asked,
            Reason::Left => self.left || self.abandoned,
            Reason::NoShow => self.abandoned,
            Reason::Expired => self.abandoned || self.had_its_time(at),
            // The operator's acts, which the rules allow.
            Reason::Revoked | Reason::RoomClosed => true,
            Reason::Unheard => false,
        }
    }

    /// The pass has run for as long as it was made for.
    fn had_its_time(&self, at: At) -> bool {
        match (self.admitted, self.iat, self.exp) {
            (Some(admitted), Some(iat), Some(exp)) => {
                at + At::from_secs(2) >= admitted + At::from_secs(exp.saturating_sub(iat))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(position: u64) -> Position {
        Position {
            position,
            ahead: position.saturating_sub(1),
            waiting: 9,
            eta_seconds: None,
            eta_low_seconds: None,
            eta_high_seconds: None,
        }
    }

    fn told(second: u64, position: u64) -> (u64, Fact) {
        (second, Fact::Position { place: place(position), known_at: At::from_secs(second) })
    }

    fn admitted(second: u64) -> (u64, Fact) {
        (second, Fact::Admitted { iat: Some(1000 + second), exp: Some(1300 + second) })
    }

    /// How often `check` broke in this history of number 7.
    fn broken(check: Check, history: &[(u64, Fact)]) -> u64 {
        let (mut witness, mut tally) = (Witness::default(), Tally::default());
        let start = [(0, Fact::JoinAsked), (0, Fact::Joined { number: 7, prequeue: false })];
        for (second, fact) in start.iter().chain(history) {
            witness.see(fact.clone(), At::from_secs(*second), &mut tally);
        }
        let found = tally.of(check);
        assert!(found.checked > 0, "{check:?} was not looked at");
        found.broken
    }

    #[test]
    fn a_visitor_who_waits_is_admitted_and_pays_proves_nothing_wrong() {
        let history = [
            (1, Fact::Connected),
            told(1, 5),
            (2, Fact::Cut),
            (3, Fact::Connected),
            told(3, 5),
            told(4, 1),
            admitted(5),
            admitted(6),
            (7, Fact::PayAsked),
            (8, Fact::Paid { seat: "p/1".into() }),
            (9, Fact::Ended(Reason::Paid)),
        ];
        let checks =
            [Check::PositionNeverGrows, Check::AdmittedOnce, Check::EndsByOwnAct, Check::TicketOpens];
        for check in checks {
            assert_eq!(broken(check, &history), 0, "{check:?}");
        }
    }

    #[test]
    fn a_growing_position_is_found_across_reconnects_too() {
        assert_eq!(broken(Check::PositionNeverGrows, &[told(1, 5), told(2, 6)]), 1);
        let reconnected = [told(1, 5), (2, Fact::Cut), (3, Fact::Connected), told(3, 6), told(4, 4)];
        assert_eq!(broken(Check::PositionNeverGrows, &reconnected), 1);
    }

    #[test]
    fn a_wrong_ahead_a_zero_position_and_a_missing_field_are_found() {
        let wrong = Position { ahead: 5, ..place(5) };
        let fact = Fact::Position { place: wrong, known_at: At::ZERO };
        assert_eq!(broken(Check::PositionWhole, &[(1, fact)]), 1);
        assert_eq!(broken(Check::PositionWhole, &[told(1, 0)]), 1);
        assert_eq!(broken(Check::PositionWhole, &[(1, Fact::Malformed("missing field".into()))]), 1);
    }

    #[test]
    fn a_lost_ticket_and_another_number_are_found() {
        let refused = Fact::TicketRefused { status: 401, how: "the channel" };
        assert_eq!(broken(Check::TicketOpens, &[(1, Fact::Connected), (2, refused)]), 1);
        let pass = |second| (second, Fact::PassRefused { status: 401, how: "reserving" });
        assert_eq!(broken(Check::TicketOpens, &[admitted(5), pass(6)]), 1);
        assert_eq!(broken(Check::TicketOpens, &[admitted(5), pass(306)]), 0);
        let shown = |number| (1, Fact::PlaceShown { number, how: "same key" });
        assert_eq!(broken(Check::RejoinKeepsPlace, &[shown(7)]), 0);
        assert_eq!(broken(Check::RejoinKeepsPlace, &[shown(8)]), 1);
    }

    #[test]
    fn an_end_that_nobody_caused_is_found() {
        for reason in [Reason::Paid, Reason::Left, Reason::NoShow, Reason::Expired, Reason::Unheard] {
            assert_eq!(broken(Check::EndsByOwnAct, &[(5, Fact::Ended(reason))]), 1, "{reason:?}");
        }
        for reason in [Reason::RoomClosed, Reason::Revoked] {
            assert_eq!(broken(Check::EndsByOwnAct, &[(5, Fact::Ended(reason))]), 0, "{reason:?}");
        }
        let left = [(1, Fact::LeaveAsked), (2, Fact::Ended(Reason::Left))];
        assert_eq!(broken(Check::EndsByOwnAct, &left), 0);
        let gone = [(1, Fact::Abandoned), (60, Fact::Ended(Reason::NoShow))];
        assert_eq!(broken(Check::EndsByOwnAct, &gone), 0);
    }

    #[test]
    fn a_slot_that_expired_before_its_time_is_found() {
        let early = [admitted(5), (200, Fact::Ended(Reason::Expired))];
        assert_eq!(broken(Check::EndsByOwnAct, &early), 1);
        let in_time = [admitted(5), (305, Fact::Ended(Reason::Expired))];
        assert_eq!(broken(Check::EndsByOwnAct, &in_time), 0);
    }

    #[test]
    fn a_second_admission_and_a_fall_back_into_the_line_are_found() {
        let again = [admitted(1), (2, Fact::PayAsked), (3, Fact::Ended(Reason::Paid)), admitted(4)];
        assert_eq!(broken(Check::AdmittedOnce, &again), 1);
        assert_eq!(broken(Check::AdmittedOnce, &[admitted(1), told(60, 3)]), 1);
    }
}
