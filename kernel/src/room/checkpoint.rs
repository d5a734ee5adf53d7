//! A room written down at one of its versions. By whom visitors are known is kept beside it, arrival by
//! arrival, since that only grows.

use serde::{Deserialize, Serialize};

use crate::event::v1::Arrival;
use crate::event::{RoomEvent, RoomFact};
use crate::room::{Endings, Identities, Room, RoomState};
use crate::words::Timestamp;

/// A room without the identities of its visitors: about a bit a waiting visitor, a byte one that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub state: RoomState,
    endings: Endings,
}

impl Room {
    /// The room as it stands now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { state: self.state.clone(), endings: self.endings.clone() }
    }

    /// The room of a checkpoint, with those who are known by something and when they got their numbers.
    /// A later arrival of the same visitor counts.
    pub fn restore(checkpoint: Checkpoint, known: impl IntoIterator<Item = (Timestamp, Arrival)>) -> Self {
        let mut identities = Identities::default();
        known.into_iter().for_each(|(at, arrival)| identities.know(&arrival, at));
        Self { state: checkpoint.state, endings: checkpoint.endings, identities, fresh: Vec::new() }
    }

    /// A room from all of its events; `None` when they do not begin with its configuration.
    pub fn of_history(events: &[RoomEvent]) -> Option<Self> {
        let mut surviving = surviving(events).into_iter();
        let mut room = Self::from_first(surviving.next()?)?;
        surviving.for_each(|event| room.apply(event));
        Some(room)
    }
}

/// The events, in order, that the room as it went on is made of: without those that reached the log behind
/// the back of a rebuild which had read it already.
pub fn surviving(events: &[RoomEvent]) -> Vec<&RoomEvent> {
    let mut kept: Vec<&RoomEvent> = Vec::with_capacity(events.len());
    for event in events {
        if let RoomFact::RoomRebuilt { through_seq, .. } = &event.fact {
            while kept.last().is_some_and(|last| last.seq > *through_seq) {
                kept.pop();
            }
        }
        kept.push(event);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{T0, anybody, policy, room};
    use crate::room::{Fold, Join, Joined, Returning};
    use crate::words::{Digest, EndReason, Ranges};

    #[test]
    fn a_restored_room_is_the_room() {
        let mut original = Room::new(room("r"), policy(3), None, T0);
        let known =
            Join { visitor: Some(Digest::of(&[b"ann"])), key: Some(Digest::of(&[b"k"])), ..anybody() };
        original.join(&[anybody(), known], T0);
        original.depart(&Ranges::one(1), EndReason::Left, T0);
        let events = original.take_events();
        let arrivals = events
            .iter()
            .flat_map(|event| event.fact.known().iter().map(|arrival| (event.at, arrival.clone())));
        assert_eq!(Room::restore(original.checkpoint(), arrivals), original);
        assert_eq!(Room::of_history(&events), Some(original));
        assert_eq!(Room::of_history(&events[1..]), None);
    }

    #[test]
    fn joining_with_a_lost_ticket_gives_its_place_back() {
        let mut rebuilt = Room::new(room("r"), policy(3), None, T0);
        rebuilt.rebuilt(1 << 32, 10, T0);
        let shown = |number| Join { holding: Some(number), ..anybody() };
        assert_eq!(rebuilt.join(&[anybody(), shown(7)], T0), [Joined::New(11), Joined::Held(7)]);
        assert_eq!(rebuilt.state().line.everyone().collect::<Vec<_>>(), [7, 11]);
    }

    #[test]
    fn a_room_goes_on_above_what_may_have_been_given() {
        let mut original = Room::new(room("r"), policy(3), None, T0);
        original.join(&[anybody(), anybody()], T0);
        let told = original.take_events();
        let ann = Digest::of(&[b"ann"]);
        original.join(&[anybody(), Join { visitor: Some(ann), ..anybody() }], T0);

        let mut rebuilt = Room::of_history(&told).unwrap();
        rebuilt.rebuilt(1 << 32, 10, T0);
        assert_eq!(rebuilt.join(&[anybody()], T0), [Joined::New(11)]);
        let returning = |number, visitor| Returning { number, visitor };
        rebuilt.reinstate(returning(4, Some(ann)), T0);
        rebuilt.reinstate(returning(4, Some(ann)), T0);
        rebuilt.reinstate(returning(12, None), T0);
        assert_eq!(rebuilt.state().issued, 11);
        assert_eq!(rebuilt.state().line.everyone().collect::<Vec<_>>(), [1, 2, 4, 11]);
        let known = Join { visitor: Some(ann), ..anybody() };
        assert_eq!(rebuilt.join(&[known], T0), [Joined::Held(4)]);
        // Ann has a place, so an older ticket of hers gives no second one.
        rebuilt.reinstate(returning(5, Some(ann)), T0);
        assert!(!rebuilt.state().holds(5));

        // Who followed as far as the log goes on; who had heard more from the store has to ask again.
        let events = rebuilt.take_events();
        let mut follower = Room::of_history(&told).unwrap();
        events.iter().for_each(|event| follower.apply(event));
        assert_eq!(follower, rebuilt);
        assert_eq!(original.state.apply(&events[0]), Fold::Gap);

        // What reached the log too late for the rebuild counts no more.
        let late = original.take_events();
        let history: Vec<_> = told.into_iter().chain(late).chain(events).collect();
        assert_eq!(Room::of_history(&history), Some(rebuilt));
    }
}
