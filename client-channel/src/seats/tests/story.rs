//! Random lives of a room: whatever happens, a connection hears one true story.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Move {
    Join(u64),
    Connect(u64),
    Close(usize),
    Depart(u64),
    Call(u64),
    Claim(u64),
    End(u64),
    Tick,
    /// Those next up are told at once.
    NextUp,
    /// The shard hears nothing for a while, then looks anew.
    MissEvents(bool),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let number = 1..40u64;
    let one = prop_oneof![
        (1..8u64).prop_map(Move::Join),
        number.clone().prop_map(Move::Connect),
        number.clone().prop_map(Move::Connect),
        (0..30usize).prop_map(Move::Close),
        number.clone().prop_map(Move::Depart),
        (1..4u64).prop_map(Move::Call),
        number.clone().prop_map(Move::Claim),
        number.prop_map(Move::End),
        Just(Move::Tick),
        Just(Move::Tick),
        Just(Move::NextUp),
        any::<bool>().prop_map(Move::MissEvents),
    ];
    prop::collection::vec(one, 1..120)
}

impl Scene {
    /// Makes a move if the room allows it; whether the shard hears of it is the caller's business.
    fn make(&mut self, a_move: &Move) {
        match a_move {
            Move::Depart(number) => {
                self.room.depart(&Ranges::one(*number), EndReason::Left, self.now);
            }
            Move::Claim(number) => self.swap(*number, Input::Claim),
            Move::End(number) => self.swap(*number, Input::End(EndReason::Paid)),
            Move::Call(count) => {
                let counts = self.room.state().counts();
                let call = Call {
                    per_lane: share(*count, &counts.lanes),
                    called_before: self.room.state().called,
                    active_max: counts.capacity,
                    claim_by: self.now,
                };
                self.room.call_next(&call, self.now);
            }
            Move::Join(_)
            | Move::Connect(_)
            | Move::Close(_)
            | Move::Tick
            | Move::NextUp
            | Move::MissEvents(_) => {}
        }
    }

    fn swap(&mut self, number: Number, input: Input) {
        let terms = Terms::from(&self.room.state().policy);
        if let Some(session) = self.room.state().sessions.get(&number).copied()
            && let Ok(next) = step(session, input, terms, self.now)
        {
            self.room.swap_session(number, session, next, self.now);
        }
    }
}

/// What one connection may hear: falling places, then the pass, then the end.
fn check_story(number: Number, story: &[Outgoing]) -> Result<(), TestCaseError> {
    let (mut lowest, mut admitted, mut ended) = (u64::MAX, 0, false);
    for word in story {
        prop_assert!(!ended, "{} heard {:?} after the end", number, word);
        match word {
            Outgoing::Figures(View::Waiting { position, .. }) => {
                prop_assert!(*position <= lowest, "{} grew from {} to {}", number, lowest, position);
                prop_assert_eq!(admitted, 0, "{} heard a place after being let in", number);
                lowest = *position;
            }
            Outgoing::Admitted(_) => admitted += 1,
            Outgoing::Ended(_) => ended = true,
            Outgoing::Room { .. } | Outgoing::Figures(View::Prequeue { .. }) => {}
            Outgoing::Expiring { .. } | Outgoing::Away => prop_assert!(false, "{} heard {:?}", number, word),
        }
    }
    prop_assert!(admitted <= 1, "{} was let in {} times", number, admitted);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_a_connection_hears_one_true_story(moves in moves()) {
        let mut scene = Scene::new(6, None);
        scene.cadence = Cadence::new(NEAR + 1, 1_000_000, TICK);
        let mut tabs: Vec<(Number, Heard, Vec<Outgoing>)> = Vec::new();
        let mut deaf = false;
        for a_move in &moves {
            match a_move {
                Move::Join(count) => {
                    let lane = LaneName::default_lane();
                    let join = Join { lane, holding: None, visitor: None, key: None };
                    scene.room.join(&vec![join; *count as usize], scene.now);
                }
                Move::Connect(number) if scene.room.state().holds(*number) => {
                    tabs.push((*number, scene.connect(*number), Vec::new()));
                }
                Move::Close(at) => {
                    if let Some((number, heard, _)) = tabs.get(*at) {
                        scene.hang_up(*number, heard);
                    }
                }
                Move::Tick => drop(scene.tick()),
                Move::NextUp => drop(scene.tell_next_up()),
                Move::MissEvents(miss) => {
                    deaf = *miss;
                    scene.look_anew();
                }
                other => scene.make(other),
            }
            if deaf {
                scene.room.take_events();
            } else {
                scene.hear();
            }
        }
        scene.room.take_events();
        scene.look_anew();
        let missing = scene.tick().missing;
        missing.into_iter().for_each(|number| scene.end(number, EndReason::Left));
        // The far end hears every third time.
        (0..4).for_each(|_| drop(scene.tick()));
        for (number, heard, story) in &mut tabs {
            story.extend(heard.all());
            check_story(*number, story)?;
            if heard.is_gone() {
                continue;
            }
            // Whoever stayed connected knows how things stand.
            let state = scene.room.state();
            match (state.sessions.get(number), state.line.spot(*number)) {
                (Some(_), _) => {
                    prop_assert!(matches!(story.last(), Some(Outgoing::Admitted(_))), "{}: {:?}", number, story);
                }
                (None, Some(spot)) => {
                    let view = View::Waiting { position: spot.position, waiting: state.line.waiting(), per_hour: state.per_hour };
                    prop_assert_eq!(story.last(), Some(&Outgoing::Figures(view)));
                }
                (None, None) => prop_assert!(matches!(story.last(), Some(Outgoing::Ended(_))), "{}", number),
            }
        }
    }
}
