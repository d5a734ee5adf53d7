//! Whether a room's figures agree with each other. Slots are counted by their tokens, so the counter of slots
//! cannot differ from them; what could differ are the tokens from the numbers that were given.

use crate::room::RoomState;
use crate::words::Number;

/// What must never be: a fault of ours, told to the operator. Counts and numbers only, no visitor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomFault {
    #[error(
        "{issued} numbers were given, but {waiting} wait, {called} were called, {departed} departed and {unheard} may come back"
    )]
    Numbers { issued: u64, waiting: u64, called: u64, departed: u64, unheard: u64 },
    #[error("{called} were called from the room, but {by_lane} from its lanes")]
    Lanes { called: u64, by_lane: u64 },
    #[error("{active} have slots, but only {called} were ever called")]
    Slots { active: u64, called: u64 },
    #[error("number {number} has a slot and stands in the line too")]
    Twice { number: Number },
    #[error("number {number} has a slot and was never given to anybody we know of")]
    NeverGiven { number: Number },
}

impl RoomState {
    /// Everything that does not agree; nothing in a sound room. Costs a look-up a slot, whatever the number
    /// waiting.
    pub fn faults(&self) -> Vec<RoomFault> {
        let (issued, waiting, active) = (self.issued, self.line.waiting(), self.active());
        let (called, departed, unheard) = (self.called, self.departed, self.unheard.len());
        let by_lane = self.line.lanes().iter().map(|lane| lane.called).sum();
        let mut faults = Vec::new();
        // Every number that was given waits, or was called, or left without, or nobody heard of it.
        if u128::from(issued) != [waiting, called, departed, unheard].map(u128::from).iter().sum() {
            faults.push(RoomFault::Numbers { issued, waiting, called, departed, unheard });
        }
        if by_lane != called {
            faults.push(RoomFault::Lanes { called, by_lane });
        }
        if active > called {
            faults.push(RoomFault::Slots { active, called });
        }
        for number in self.sessions.keys().copied() {
            if self.line.contains(number) {
                faults.push(RoomFault::Twice { number });
            }
            if number == 0 || number > issued || self.unheard.contains(number) {
                faults.push(RoomFault::NeverGiven { number });
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{T0, anybody, policy, room};
    use crate::room::{Call, Called, Room};
    use crate::session::Session;
    use crate::words::{EndReason, Ranges};

    /// Eight joined, one left, three were called.
    fn sound() -> RoomState {
        let mut room = Room::new(room("r"), policy(5), None, T0);
        room.join(&vec![anybody(); 8], T0);
        room.depart(&Ranges::one(2), EndReason::Left, T0);
        let call = Call { per_lane: vec![3], called_before: 0, active_max: 5, claim_by: T0 };
        assert!(matches!(room.call_next(&call, T0), Called::Numbers(_)));
        room.state().clone()
    }

    #[test]
    fn each_disagreement_is_found() {
        let room = sound();
        assert_eq!(room.faults(), []);
        let slot = Session::Called { claim_by: T0 };
        let spoiled = |spoil: &dyn Fn(&mut RoomState)| {
            let mut state = room.clone();
            spoil(&mut state);
            state.faults()
        };
        let numbers = |issued, called, departed| RoomFault::Numbers {
            issued,
            waiting: 4,
            called,
            departed,
            unheard: 0,
        };
        assert_eq!(spoiled(&|state| state.issued = 9), [numbers(9, 3, 1)]);
        assert_eq!(spoiled(&|state| state.departed = 0), [numbers(8, 3, 0)]);
        let lanes = RoomFault::Lanes { called: 4, by_lane: 3 };
        assert_eq!(spoiled(&|state| state.called = 4), [numbers(8, 4, 1), lanes]);
        let slots = RoomFault::Slots { active: 4, called: 3 };
        let twice = |state: &mut RoomState| state.sessions.extend([(7, slot)]);
        assert_eq!(spoiled(&twice), [slots.clone(), RoomFault::Twice { number: 7 }]);
        let strange = |state: &mut RoomState| state.sessions.extend([(99, slot)]);
        assert_eq!(spoiled(&strange), [slots, RoomFault::NeverGiven { number: 99 }]);
    }

    #[test]
    fn a_rebuilt_room_is_sound_and_stays_so_when_visitors_return() {
        let mut room = Room::new(room("r"), policy(5), None, T0);
        room.join(&vec![anybody(); 8], T0);
        room.rebuilt(2_000_000, 20, T0);
        assert_eq!(room.state().faults(), []);
        let returning = crate::room::Returning { number: 12, visitor: None };
        room.reinstate(returning, T0);
        assert_eq!((room.state().faults(), room.state().line.waiting()), (vec![], 9));
    }
}
