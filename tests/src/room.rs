//! Rooms and visitors of a test: a room in one call, a visitor in one call.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::{Answer, Call, SOON, Site, eventually};

/// Somebody with a ticket.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub room: String,
    pub ticket: String,
    pub number: i64,
}

/// A key nobody else has, long enough for joins.
pub fn fresh_key() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A visitor token as a shop's backend makes it: HS256 with the room's `visitor_key`.
/// `valid_for` is in seconds and may be negative.
pub fn visitor_token(key: &str, sub: &str, valid_for: i64, lane: Option<&str>) -> String {
    let mut claims = json!({ "sub": sub, "exp": unix_now() + valid_for });
    if let Some(lane) = lane {
        claims["lane"] = json!(lane);
    }
    let key = EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a visitor token")
}

/// Seconds since 1970, as JWTs count.
#[allow(clippy::disallowed_methods, reason = "outside the system, the clock is the clock")]
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock past 1970");
    i64::try_from(since.as_secs()).expect("a date of this age")
}

/// A policy with short times and room for one; `changes` overrides fields, `null` takes one out.
pub fn policy(changes: &Value) -> Value {
    let mut policy = json!({
        "capacity": 1, "active_seconds": 300, "max_session_seconds": 900,
        "claim_seconds": 60, "grace_seconds": 60, "prequeue": "fifo",
    });
    for (field, value) in changes.as_object().expect("an object of changes") {
        match value {
            Value::Null => policy.as_object_mut().expect("an object").remove(field),
            value => policy.as_object_mut().expect("an object").insert(field.clone(), value.clone()),
        };
    }
    policy
}

impl Site {
    /// Makes a room with [`policy`]`(changes)`.
    pub async fn room(&self, room: &str, changes: &Value) {
        let answer = self.admin("PUT", &format!("/rooms/{room}")).json(&policy(changes)).send().await;
        assert!(
            (200..300).contains(&answer.status),
            "PUT of {room} answered {}: {}",
            answer.status,
            answer.text
        );
    }

    /// Makes a concert of one performance, with so many seats, all of one price.
    pub async fn concert(&self, room: &str, seats: u64) {
        let body = json!({
            "id": room, "title": "Midsummer Night", "room": room, "currency": "EUR",
            "performances": [{
                "performance_id": format!("{room}-1"), "starts_at": "2030-06-21T19:30:00Z",
                "seats": { "count": seats, "amount_minor": 5_000 },
            }],
        });
        self.admin("POST", "/concerts").json(&body).send().await.expect(201);
    }

    /// How many wait, as the room's public state says.
    pub async fn waiting(&self, room: &str) -> u64 {
        let room = self.get(&format!("/v1/rooms/{room}")).send().await.expect(200);
        u64::try_from(room.number_of("waiting")).expect("a count")
    }

    /// An operator's word to a room: `open`, `pause`, `resume`, `close`.
    pub async fn tell(&self, room: &str, word: &str) {
        let answer = self.admin("POST", &format!("/rooms/{room}/{word}")).send().await;
        assert!(
            (200..300).contains(&answer.status),
            "{word} of {room} answered {}: {}",
            answer.status,
            answer.text
        );
    }

    /// A join being made, to add headers to.
    pub fn joining(&self, room: &str) -> Call {
        self.post(&format!("/v1/rooms/{room}/tickets"))
    }

    /// A new anonymous visitor.
    pub async fn join(&self, room: &str) -> Visitor {
        self.visitor(room, &self.joining(room).json(&json!({})).send().await.expect(201))
    }

    /// The visitor an answer to a join tells of.
    #[track_caller]
    pub fn visitor(&self, room: &str, joined: &Answer) -> Visitor {
        Visitor {
            room: room.to_owned(),
            ticket: joined.text_of("ticket"),
            number: joined.number_of("number"),
        }
    }

    /// What the polling fallback says.
    pub async fn status(&self, visitor: &Visitor) -> Answer {
        self.get(&format!("/v1/rooms/{}/tickets/me", visitor.room))
            .bearer(&visitor.ticket)
            .send()
            .await
            .expect(200)
    }

    /// The visitor's own channel.
    pub async fn open(&self, visitor: &Visitor) -> crate::Channel {
        self.channel(&visitor.room, &visitor.ticket).await
    }

    pub async fn leave(&self, visitor: &Visitor) -> Answer {
        self.delete(&format!("/v1/rooms/{}/tickets/me", visitor.room)).bearer(&visitor.ticket).send().await
    }

    /// Polls until the ticket is in this state.
    pub async fn until_state(&self, visitor: &Visitor, state: &str) -> Answer {
        self.until_state_within(visitor, state, SOON).await
    }

    pub async fn until_state_within(&self, visitor: &Visitor, state: &str, deadline: Duration) -> Answer {
        let what = format!("ticket {} of {} is {state}", visitor.number, visitor.room);
        eventually(&what, deadline, async || {
            let answer = self.status(visitor).await;
            (answer.json["state"] == state).then_some(answer)
        })
        .await
    }

    /// Joins and waits to be let in; the pass.
    pub async fn admitted(&self, room: &str) -> (Visitor, String) {
        let visitor = self.join(room).await;
        let pass = self.until_state(&visitor, "active").await.text_of("pass");
        (visitor, pass)
    }
}
