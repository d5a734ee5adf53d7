//! A room that runs ahead of what is agreed on. Several processes share a room by one agreed order of its
//! events: each decides on its own copy, offers the events, and takes them back when another was faster.

use crate::event::RoomEvent;
use crate::room::{Fold, Room, RoomState};

#[derive(Debug, Clone)]
pub struct Tentative {
    room: Room,
    /// The state without the drafts: what a withdrawal goes back to.
    agreed: RoomState,
}

impl Tentative {
    /// `room` as all agree on it.
    pub fn new(mut room: Room) -> Self {
        room.identities.draft();
        Self { agreed: room.state.clone(), room }
    }

    /// The room with its drafts. What its verbs record is a draft until [`Self::agree`].
    pub fn room(&mut self) -> &mut Room {
        &mut self.room
    }

    /// What everybody agrees on.
    pub fn agreed(&self) -> &RoomState {
        &self.agreed
    }

    /// Events that are not agreed on yet, in order.
    pub fn drafts(&self) -> &[RoomEvent] {
        &self.room.fresh
    }

    /// The drafts are agreed on: they stand in the room's one order now. Answers them.
    pub fn agree(&mut self) -> Vec<RoomEvent> {
        let agreed = self.room.take_events();
        for event in &agreed {
            self.agreed.apply(event);
        }
        if let Some(last) = agreed.last() {
            self.room.identities.agree(last.at);
        }
        agreed
    }

    /// The drafts never happened. Costs a copy of the state, about a bit a visitor and some ten bytes a session;
    /// nothing where there are no drafts.
    pub fn withdraw(&mut self) {
        let drafts = self.room.take_events();
        if drafts.is_empty() {
            return;
        }
        for event in drafts.iter().rev() {
            self.room.endings.withdraw(event);
        }
        self.room.identities.withdraw();
        self.room.state.clone_from(&self.agreed);
    }

    /// Follows an event that another process had agreed on. There must be no drafts: see [`Self::withdraw`].
    pub fn follow(&mut self, event: &RoomEvent) -> Fold {
        debug_assert!(self.room.fresh.is_empty(), "an agreed event was followed over drafts");
        let fold = self.room.state.apply(event);
        if fold == Fold::Applied {
            self.room.endings.apply(event);
            self.room.identities.apply(event);
            self.room.identities.agree(event.at);
            self.agreed.apply(event);
        }
        fold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{T0, anybody, policy, room};
    use crate::room::{Call, Called, Join, Joined};
    use crate::words::{Digest, EndReason, Ranges};

    fn known(who: &str) -> Join {
        let digest = |what: &str| Some(Digest::of(&[what.as_bytes(), who.as_bytes()]));
        Join { visitor: digest("visitor"), key: digest("key"), ..anybody() }
    }

    fn tentative() -> Tentative {
        let mut room = Room::new(room("r"), policy(3), None, T0);
        room.join(&[anybody(), known("ann"), anybody()], T0);
        room.take_events();
        Tentative::new(room)
    }

    fn call(room: &mut Room) -> Called {
        let seen = room.state().room_counts();
        let call = Call {
            per_lane: vec![1],
            called_before: seen.called,
            active_max: seen.counts.capacity,
            claim_by: T0.plus_seconds(60),
        };
        room.call_next(&call, T0)
    }

    #[test]
    fn what_is_withdrawn_never_happened() {
        let mut ahead = tentative();
        let before = ahead.clone();
        let room = ahead.room();
        room.join(&[known("ann"), known("bob"), anybody()], T0);
        assert_eq!(call(room), Called::Numbers(Ranges::one(1)));
        room.depart(&Ranges::one(3), EndReason::Left, T0);
        room.depart(&Ranges::one(2), EndReason::Left, T0);
        room.join(&[known("ann")], T0);
        room.notice(Some("soon".to_owned()), T0);
        assert_eq!(ahead.drafts().len(), 6);
        ahead.withdraw();
        assert!(ahead.drafts().is_empty());
        assert_eq!(ahead.room, before.room);
        assert_eq!(ahead.agreed, before.agreed);
    }

    #[test]
    fn what_is_agreed_is_what_others_follow() {
        let (mut ahead, mut other) = (tentative(), tentative());
        ahead.room().join(&[known("bob")], T0);
        call(ahead.room());
        let events = ahead.agree();
        for event in &events {
            assert_eq!(other.follow(event), Fold::Applied);
            assert_eq!(other.follow(event), Fold::Old);
        }
        assert_eq!(ahead.agreed(), ahead.room.state());
        assert_eq!(other.room, ahead.room);
        assert_eq!(other.room().join(&[known("bob")], T0), [Joined::Held(4)]);
    }
}
