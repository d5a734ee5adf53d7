//! The operator adds concerts. A concert is fixed once added; adding the very same one again changes nothing.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use edge::{Problem, ProblemBody, StrictJson, require_admin};
use kernel::ports::reservations::Added;
use kernel::reservation::concert::{SEATS_MAX, rows_of_seats};
use kernel::reservation::{BadConcert, Concert, Currency, Performance, Seat};
use kernel::words::{RoomId, Timestamp};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shop;
use crate::problems::conflict;

pub fn routes() -> OpenApiRouter<Arc<Shop>> {
    OpenApiRouter::new().routes(routes!(add))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewConcert {
    /// 1 to 64 of A-Z a-z 0-9 . _ -; made of the content when absent.
    id: Option<String>,
    title: String,
    #[schema(value_type = String)]
    room: RoomId,
    /// ISO 4217. All concerts of a room are sold in one currency.
    #[schema(value_type = String, example = "EUR")]
    currency: Currency,
    performances: Vec<NewPerformance>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPerformance {
    /// Unique in the shop; made of the concert's id when absent.
    performance_id: Option<String>,
    #[schema(value_type = String, example = "2030-06-01T19:00:00Z")]
    starts_at: Timestamp,
    #[schema(value_type = SeatsSchema)]
    seats: NewSeats,
}

/// One by one, or so many of one price.
#[derive(Debug)]
enum NewSeats {
    Each(Vec<NewSeat>),
    Count(SeatCount),
}

/// How seats are written.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum SeatsSchema {
    Each(Vec<NewSeat>),
    Count(SeatCount),
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSeat {
    /// Unique in the performance; the label when absent.
    seat_id: Option<String>,
    label: String,
    amount_minor: i64,
}

/// Rows of twenty: A1 to A20, B1 and so on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SeatCount {
    count: usize,
    amount_minor: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct AddedConcert {
    id: String,
    title: String,
    room: String,
    currency: String,
    performances: Vec<AddedPerformance>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AddedPerformance {
    performance_id: String,
    starts_at: String,
    seats: usize,
}

/// Add a concert with its performances and seats.
#[utoipa::path(
    post, path = "/v1/admin/concerts", tag = "admin", security(("admin" = [])),
    request_body = NewConcert,
    responses(
        (status = 201, body = AddedConcert),
        (status = 200, body = AddedConcert, description = "The very same concert is there already"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_concert, invalid_body, unknown_field"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "admin_token_required"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_room"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "concert_exists, performance_exists, currency_mismatch"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn add(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    body: Result<StrictJson<NewConcert>, Problem>,
) -> Result<impl IntoResponse, Problem> {
    require_admin(&shop.ports.admin, &headers)?;
    let StrictJson(body) = body?;
    let concert = concert(body).map_err(|bad| Problem::bad_request("invalid_concert", bad.to_string()))?;
    shop.ports.registry.get(&concert.room).await?;
    let answer = AddedConcert::from(&concert);
    match shop.store().add_concert(concert, shop.now()).await? {
        Added::New => {
            tracing::info!(concert = answer.id, room = answer.room, "a concert was added");
            Ok((StatusCode::CREATED, Json(answer)))
        }
        Added::Already => Ok((StatusCode::OK, Json(answer))),
        Added::Different => Err(conflict(
            "concert_exists",
            "another concert has this id; a concert cannot be changed, choose another id",
        )),
        Added::PerformanceTaken(id) => {
            Err(conflict("performance_exists", format!("another concert has a performance {id}")))
        }
        Added::OtherCurrency(currency) => {
            Err(conflict("currency_mismatch", format!("this room sells in {currency}")))
        }
    }
}

fn concert(body: NewConcert) -> Result<Concert, BadConcert> {
    let named = body.id.is_some();
    let mut concert = Concert {
        id: body.id.unwrap_or_default(),
        title: body.title,
        room: body.room,
        currency: body.currency,
        performances: Vec::new(),
    };
    let mut ids = Vec::new();
    for performance in body.performances {
        ids.push(performance.performance_id.clone());
        concert.performances.push(Performance {
            performance_id: performance.performance_id.unwrap_or_default(),
            starts_at: performance.starts_at,
            seats: seats(performance.seats)?,
        });
    }
    if !named {
        // The same content makes the same id, so that sending it again adds nothing.
        concert.id = format!("c-{}", concert.definition());
    }
    for (at, performance) in concert.performances.iter_mut().enumerate() {
        if ids.get(at).is_some_and(Option::is_none) {
            performance.performance_id = format!("{}-{}", concert.id, at + 1);
        }
    }
    concert.check()?;
    Ok(concert)
}

fn seats(seats: NewSeats) -> Result<Vec<Seat>, BadConcert> {
    match seats {
        NewSeats::Count(SeatCount { count, .. }) if count > SEATS_MAX => {
            Err(BadConcert { field: "seats", wants: "at most 100,000 seats in all" })
        }
        NewSeats::Count(SeatCount { count, amount_minor }) => Ok(rows_of_seats(count, amount_minor)),
        NewSeats::Each(seats) => Ok(seats.into_iter().map(seat).collect()),
    }
}

fn seat(seat: NewSeat) -> Seat {
    let seat_id = seat.seat_id.unwrap_or_else(|| seat.label.clone());
    Seat { seat_id, label: seat.label, amount_minor: seat.amount_minor }
}

impl From<&Concert> for AddedConcert {
    fn from(concert: &Concert) -> Self {
        let performance = |performance: &Performance| AddedPerformance {
            performance_id: performance.performance_id.clone(),
            starts_at: performance.starts_at.to_string(),
            seats: performance.seats.len(),
        };
        Self {
            id: concert.id.clone(),
            title: concert.title.clone(),
            room: concert.room.to_string(),
            currency: concert.currency.to_string(),
            performances: concert.performances.iter().map(performance).collect(),
        }
    }
}

/// By hand, so that a mistake inside is named; an untagged enum would only say that nothing matched.
impl<'de> Deserialize<'de> for NewSeats {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = NewSeats;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of seats, or an object with count and amount_minor")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seats: A) -> Result<NewSeats, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seats)).map(NewSeats::Each)
            }

            fn visit_map<A: MapAccess<'de>>(self, count: A) -> Result<NewSeats, A::Error> {
                SeatCount::deserialize(MapAccessDeserializer::new(count)).map(NewSeats::Count)
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(seats: Value) -> Result<Concert, String> {
        let body = json!({
            "title": "T", "room": "demo", "currency": "EUR",
            "performances": [{"starts_at": "2030-01-01T00:00:00Z", "seats": seats}],
        });
        let body = serde_json::from_value(body).map_err(|error| error.to_string())?;
        concert(body).map_err(|bad| bad.to_string())
    }

    #[test]
    fn seats_are_listed_or_counted() {
        let listed = read(json!([{"label": "A1", "amount_minor": 5}])).unwrap();
        let counted = read(json!({"count": 1, "amount_minor": 5})).unwrap();
        assert_eq!(listed, counted);
        assert!(listed.id.starts_with("c-"), "{}", listed.id);
        assert_eq!(listed.performances[0].performance_id, format!("{}-1", listed.id));
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = read(json!([{"label": "A1", "amount_minor": 5, "colour": 1}])).unwrap_err();
        assert!(wrong.contains("unknown field `colour`"), "{wrong}");
        let wrong = read(json!({"count": 5_000_000, "amount_minor": 5})).unwrap_err();
        assert!(wrong.starts_with("seats"), "{wrong}");
        assert!(read(json!("many")).unwrap_err().contains("a list of seats"));
        assert!(read(json!([])).is_err());
    }
}
