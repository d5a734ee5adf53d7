//! What is for sale, for everybody to read and for caches to keep: concerts, dates, seats.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::{Problem, ProblemBody};
use kernel::words::Digest;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shop;
use crate::paging::{Items, LISTS, Part, SEATS};
use crate::problems::{unknown_concert, unknown_performance};
use crate::visitor::Id;
use crate::wire::{ConcertBody, DateBody, SeatBody};

/// Seconds a cache may show what seldom changes, and what changes with every sale.
const CONCERTS_SECONDS: u32 = 10;
const SEATS_SECONDS: u32 = 1;

pub fn routes() -> OpenApiRouter<Arc<Shop>> {
    OpenApiRouter::new().routes(routes!(concerts)).routes(routes!(dates)).routes(routes!(seats))
}

/// All concerts, in the order they were added.
#[utoipa::path(
    get, path = "/v1/concerts", tag = "shop", params(Part),
    responses(
        (status = 200, body = Items<ConcertBody>),
        (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_limit, invalid_cursor, invalid_query"),
    )
)]
async fn concerts(
    State(shop): State<Arc<Shop>>,
    part: Part,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = shop.store().concerts(part.range(LISTS)?).await?;
    let items = Items::of(page, |concert| ConcertBody {
        id: concert.id,
        title: concert.title,
        room: concert.room.to_string(),
    });
    Ok(cacheable(&headers, CONCERTS_SECONDS, &items))
}

/// A concert's performances.
#[utoipa::path(
    get, path = "/v1/concerts/{id}/dates", tag = "shop",
    params(("id" = String, Path, description = "The concert"), Part),
    responses(
        (status = 200, body = Items<DateBody>),
        (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_limit, invalid_cursor, invalid_query"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_concert"),
    )
)]
async fn dates(
    State(shop): State<Arc<Shop>>,
    Id(concert_id): Id,
    part: Part,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let range = part.range(LISTS)?;
    let dates = shop.seat_maps.dates(&concert_id, shop.now()).await?.ok_or_else(unknown_concert)?;
    let (window, next) = window(&dates, range.after, range.limit);
    let date = |row: &kernel::ports::reservations::DateRow| DateBody {
        performance_id: row.performance_id.clone(),
        starts_at: row.starts_at.to_string(),
        free: row.free,
    };
    let items = Items { items: dates[window].iter().map(date).collect(), next };
    Ok(cacheable(&headers, SEATS_SECONDS, &items))
}

/// A performance's seats.
#[utoipa::path(
    get, path = "/v1/performances/{id}/seats", tag = "shop",
    params(("id" = String, Path, description = "The performance"), Part),
    responses(
        (status = 200, body = Items<SeatBody>),
        (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_limit, invalid_cursor, invalid_query"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_performance"),
    )
)]
async fn seats(
    State(shop): State<Arc<Shop>>,
    Id(performance_id): Id,
    part: Part,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let range = part.range(SEATS)?;
    let found = shop.seat_maps.seats(&performance_id, shop.now()).await?;
    let (map, states) = found.ok_or_else(unknown_performance)?;
    let (window, next) = window(&states, range.after, range.limit);
    let currency = map.plan.currency.as_str();
    let seats = map.plan.seats[window.clone()].iter().zip(&states[window]);
    let items =
        Items { items: seats.map(|(seat, state)| SeatBody::new(seat, *state, currency)).collect(), next };
    Ok(cacheable(&headers, SEATS_SECONDS, &items))
}

/// The part of a list in memory; its cursor is how many came before.
fn window<T>(all: &[T], after: Option<u64>, limit: usize) -> (std::ops::Range<usize>, Option<String>) {
    let first = usize::try_from(after.unwrap_or(0)).unwrap_or(usize::MAX).min(all.len());
    let end = first.saturating_add(limit).min(all.len());
    (first..end, (end < all.len()).then(|| end.to_string()))
}

/// An answer that caches may keep for a moment, or word that theirs is still right.
fn cacheable<T: Serialize>(headers: &HeaderMap, seconds: u32, body: &T) -> Response {
    let Ok(json) = serde_json::to_vec(body) else { return Problem::unavailable().into_response() };
    let etag = format!("\"{}\"", Digest::of(&[&json]));
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            matches!(tag.trim().trim_start_matches("W/"), "*") || tag.trim().trim_start_matches("W/") == etag
        });
    let mut answer = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    };
    let cache = format!("public, max-age={seconds}");
    for (name, value) in [(header::ETAG, etag), (header::CACHE_CONTROL, cache)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_with_the_list() {
        let all = [0u8; 5];
        assert_eq!(window(&all, None, 2), (0..2, Some("2".to_owned())));
        assert_eq!(window(&all, Some(4), 2), (4..5, None));
        assert_eq!(window(&all, Some(u64::MAX), 2), (5..5, None));
        assert_eq!(window(&all, None, 5), (0..5, None));
    }

    #[test]
    fn a_cache_that_is_right_is_told_so() {
        let first = cacheable(&HeaderMap::new(), 1, &[1, 2]);
        assert_eq!(first.status(), StatusCode::OK);
        let etag = first.headers()[header::ETAG].clone();
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, etag.clone())]);
        assert_eq!(cacheable(&known, 1, &[1, 2]).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(cacheable(&known, 1, &[1, 3]).status(), StatusCode::OK);
    }
}
