//! Shows forged, foreign and missing tokens to the system, and verifies genuine passes offline.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::chance::Chance;
use super::channel::knock;
use super::http::{Away, Call};
use super::rules::{judge_pass, judge_refusal};
use super::shop::Shop;
use super::world::World;

/// So many genuine passes are verified with the published keys.
pub const VERIFIED: u64 = 20;

/// Shows altered forms of a genuine ticket; each must get 401.
pub async fn forged_tickets(world: &World, ticket: &str, chance: &mut Chance) {
    let path = world.api.room_path("/tickets/me");
    let cut_short: String = ticket.chars().take(ticket.chars().count() / 2).collect();
    let forgeries = [
        ("a ticket altered in its first half", altered(ticket, 4)),
        ("a ticket altered in its second half", altered(ticket, 2)),
        ("half a ticket", cut_short),
        ("a ticket with more behind it", format!("{ticket}AAAA")),
        ("no ticket at all", "nothing".to_string()),
    ];
    for (what, forged) in &forgeries {
        match world.api.call(Call::get(&path).bearer(forged), chance).await {
            Ok(answer) => judge_refusal(&mut world.tally(), &format!("{what} at tickets/me"), answer.status),
            Err(Away(why)) => world.remark(format!("forgery not tried: {why}")),
        }
        match knock(&world.api, forged).await {
            Ok(status) => judge_refusal(&mut world.tally(), &format!("{what} at the channel"), status),
            Err(why) => world.remark(format!("forgery not tried: {why}")),
        }
    }
    if let Some(room) = Shop::other_room(&world.api).await {
        let foreign = Call::get(format!("/v1/rooms/{room}/tickets/me")).bearer(ticket);
        if let Ok(answer) = world.api.call(foreign, chance).await {
            judge_refusal(
                &mut world.tally(),
                &format!("a ticket of another room at room {room}"),
                answer.status,
            );
        }
    }
    let bare = world.api.call(Call::get(&path), chance).await;
    if let Ok(answer) = bare {
        judge_refusal(&mut world.tally(), "tickets/me without a ticket", answer.status);
    }
}

/// Tries to reserve with everything but a genuine pass; each must get 401.
pub async fn forged_passes(world: &World, pass: &str, ticket: &str, chance: &mut Chance) {
    let forgeries = [
        ("an altered pass", altered_last_part(pass)),
        ("a pass with other claims", other_claims(pass)),
        ("a ticket instead of a pass", ticket.to_string()),
        ("rubbish instead of a pass", "rubbish".to_string()),
    ];
    let body = json!({"performance_id": "none", "seat_id": "none"});
    let authorize = format!("/v1/authorize?room={}", world.api.room);
    for (what, forged) in &forgeries {
        let calls = [
            ("reserving", Call::post("/v1/reservations", body.clone()).bearer(forged)),
            ("authorize", Call::get(&authorize).bearer(forged)),
        ];
        for (place, call) in calls {
            match world.api.call(call, chance).await {
                Ok(answer) => judge_refusal(&mut world.tally(), &format!("{what} at {place}"), answer.status),
                Err(Away(why)) => world.remark(format!("forgery not tried: {why}")),
            }
        }
    }
    let calls = [
        ("reserving without a pass", Call::post("/v1/reservations", body)),
        ("the balance without a pass", Call::get("/v1/balance")),
        ("authorize without a pass", Call::get(&authorize)),
    ];
    for (what, call) in calls {
        if let Ok(answer) = world.api.call(call, chance).await {
            judge_refusal(&mut world.tally(), what, answer.status);
        }
    }
}

/// Verifies a genuine pass as any other origin would: offline, with the published keys.
pub async fn verify_pass(world: &World, number: u64, pass: &str, chance: &mut Chance) {
    let keys = world
        .once
        .keys
        .get_or_init(|| async {
            let answer = world.api.call(Call::get("/.well-known/jwks.json"), chance).await.ok()?;
            answer.read::<JwkSet>().map_err(|why| world.remark(format!("jwks.json: {why}"))).ok()
        })
        .await;
    if let Some(keys) = keys {
        let verified = verify(keys, &world.api.room, number, pass);
        judge_pass(&mut world.tally(), number, verified);
    }
}

fn verify(keys: &JwkSet, room: &str, number: u64, pass: &str) -> Result<(), String> {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&[room]);
    rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let mut last = "no key is published".to_string();
    for key in &keys.keys {
        let claims = DecodingKey::from_jwk(key).and_then(|key| decode::<Value>(pass, &key, &rules));
        match claims {
            Ok(data) => {
                let claimed = data.claims.get("num").and_then(Value::as_u64);
                let has_jti = data.claims.get("jti").is_some_and(Value::is_string);
                return match claimed == Some(number) && has_jti {
                    true => Ok(()),
                    false => Err(format!("claims num {claimed:?}, jti present: {has_jti}")),
                };
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// The token with one letter changed, the first at or after `1/divisor` of it.
fn altered(token: &str, divisor: usize) -> String {
    let from = token.len() / divisor.max(1);
    let spot =
        token.char_indices().find(|(at, c)| *at >= from && c.is_ascii_alphanumeric()).map(|(at, _)| at);
    token.char_indices().map(|(at, c)| if Some(at) == spot { other(c) } else { c }).collect()
}

/// A JWT with its signature changed in the middle, where every bit of a letter counts.
fn altered_last_part(token: &str) -> String {
    match token.rsplit_once('.') {
        Some((head, signature)) => format!("{head}.{}", altered(signature, 2)),
        None => altered(token, 2),
    }
}

/// A JWT with its claims changed under the old signature.
fn other_claims(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    match parts[..] {
        [head, claims, signature] => format!("{head}.{}.{signature}", altered(claims, 2)),
        _ => altered(token, 3),
    }
}

fn other(letter: char) -> char {
    if letter == 'A' { 'B' } else { 'A' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgery_differs_in_one_letter_and_keeps_its_form() {
        let token = "head.claims-of-it.signature";
        for forged in [altered(token, 2), altered(token, 4), altered_last_part(token), other_claims(token)] {
            assert_eq!(forged.len(), token.len());
            let differing = forged.chars().zip(token.chars()).filter(|(a, b)| a != b).count();
            assert_eq!(differing, 1, "{forged}");
        }
        assert!(altered_last_part(token).starts_with("head.claims-of-it."));
        assert_eq!(altered("", 2), "");
    }
}
