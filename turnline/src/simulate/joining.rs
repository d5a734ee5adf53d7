//! The first step of every visitor, and its repetition: a place in line that outlives lost answers.

use serde_json::json;

use super::chance::{Chance, random_key};
use super::figures::Timing;
use super::http::{Away, Call};
use super::message::Joined;
use super::rules::Fact;
use super::world::World;

/// Joins under a fresh key; the key comes back with the place, to show that it keeps it.
///
/// # Errors
/// In words, when the system refuses or stays away.
pub async fn join(world: &World, index: usize, chance: &mut Chance) -> Result<(Joined, String), String> {
    let key = random_key().map_err(|e| e.to_string())?;
    world.see(index, Fact::JoinAsked);
    let asked = world.now();
    let answer =
        world.api.call(join_call(world).key(&key).at_the_door(), chance).await.map_err(|away| away.0)?;
    let joined: Joined = answer.read()?;
    world.see(index, Fact::Joined { number: joined.number, prequeue: joined.state == "prequeue" });
    let answered = world.now();
    let mut figures = world.figures();
    figures.took(Timing::Join, answer.took);
    figures.took(Timing::JoinWhole, answered.saturating_sub(asked));
    figures.joins.mark(asked, answered);
    if answer.attempts > 1 {
        figures.retried_calls += 1;
    }
    drop(figures);
    Ok((joined, key))
}

fn join_call(world: &World) -> Call<'static> {
    Call::post(world.api.room_path("/tickets"), json!({}))
}

/// Joins again as a reloaded page or a lost answer does: the same place must come back.
pub async fn join_again(world: &World, index: usize, ticket: &str, key: &str, chance: &mut Chance) {
    let with_ticket = ("joining with the ticket", join_call(world).bearer(ticket));
    let with_key = ("joining with the same key", join_call(world).key(key));
    for (how, call) in [with_ticket, with_key] {
        match world.api.call(call, chance).await {
            Ok(answer) => match answer.read::<Joined>() {
                Ok(again) => world.see(index, Fact::PlaceShown { number: again.number, how }),
                Err(_) => world.see(index, Fact::TicketRefused { status: answer.status, how }),
            },
            Err(Away(why)) => world.remark(format!("not joined again: {why}")),
        }
    }
}
