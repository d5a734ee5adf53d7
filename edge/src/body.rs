//! Strict JSON bodies: bounded, typed, and nothing unknown in them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Bodies beyond this are refused (413).
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// A body that has not arrived by then is given up (408).
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body that is too long is read before its connection is given up.
const DRAINED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A JSON body whose type refuses unknown fields (`#[serde(deny_unknown_fields)]`). Empty counts as `{}`.
pub struct StrictJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        read_json(&head.headers, body).await.map(Self)
    }
}

/// The body of a call that asks for nothing more: none, or `{}`. Whatever else it says would go unheard, so it
/// is refused as in any other body.
pub struct NoBody;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        StrictJson::<Nothing>::from_request(request, state).await.map(|StrictJson(Nothing {})| Self)
    }
}

/// What [`StrictJson`] reads, for a handler that keeps the request's head, and so need not copy what it looks at.
pub async fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let asks_first = headers.contains_key(header::EXPECT);
    if asks_first && declared_length(headers).is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, whole(body)).await.map_err(|_| too_slow())??;
    if body.is_empty() {
        return parse(b"{}");
    }
    if !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON with Content-Type: application/json",
        ));
    }
    parse(&body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err(Problem::bad_request("invalid_body", "the body is a JSON object"));
    }
    if has_nul(body) {
        return Err(Problem::bad_request("invalid_body", "the body has a U+0000, which no text may have"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let code = if text.contains("unknown field") { "unknown_field" } else { "invalid_body" };
        Problem::bad_request(code, text)
    })
}

/// Whether a text of the JSON has a U+0000, which not every store can keep. JSON has it only as `\u0000`.
fn has_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive within 30 seconds")
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "a body is at most 64 KiB")
}

/// Reads a body to its end. One that is too long is read on for a while and thrown away: a connection closed
/// on unread bytes is reset, and the caller, still sending, would never see the refusal.
async fn whole(mut body: Body) -> Result<Vec<u8>, Problem> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let cut = |_| Problem::bad_request("invalid_body", "the body ended before it was whole");
        let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
        length += data.len();
        if length <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
        } else if length > DRAINED_BYTES_MAX {
            break;
        }
    }
    if length <= BODY_BYTES_MAX { Ok(bytes) } else { Err(too_large()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        #[serde(default)]
        count: u32,
    }

    #[test]
    fn an_escape_of_nul_is_found_and_an_escaped_backslash_is_none() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#));
        assert!(has_nul(br#"{"a":"\\\u0000"}"#));
        assert!(!has_nul(br#"{"a":"\\u0000 \u0001 \n"}"#));
        assert!(!has_nul(br#"{"a":"u0000\"#));
    }

    async fn read(kind: Option<&str>, body: impl Into<Body>) -> Result<u32, (u16, &'static str)> {
        let mut request = Request::builder().uri("/");
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(body.into()).unwrap();
        let read = StrictJson::<Wish>::from_request(request, &()).await;
        read.map(|wish| wish.0.count).map_err(|problem| (problem.status.as_u16(), problem.code))
    }

    #[tokio::test]
    async fn bodies_are_taken_or_refused_by_name() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(read(json, r#"{"count":3}"#).await, Ok(3));
        assert_eq!(read(None, "").await, Ok(0));
        assert_eq!(read(json, r#"{"count":3,"x":1}"#).await, Err((400, "unknown_field")));
        assert_eq!(read(json, r#"{"count":"3"}"#).await, Err((400, "invalid_body")));
        assert_eq!(read(json, "[1]").await, Err((400, "invalid_body")));
        assert_eq!(read(json, b"{\"count\":\"\xff\"}".to_vec()).await, Err((400, "invalid_body")));
        assert_eq!(read(Some("text/plain"), r#"{"count":3}"#).await, Err((415, "unsupported_media_type")));
        assert_eq!(read(json, " ".repeat(BODY_BYTES_MAX + 1)).await, Err((413, "body_too_large")));
        let stream = futures_util::stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
        assert_eq!(read(json, Body::from_stream(stream)).await, Err((413, "body_too_large")));
    }

    #[tokio::test]
    async fn a_call_that_takes_no_body_refuses_one_that_says_something() {
        for (body, expected) in [
            (String::new(), None),
            ("{}".to_owned(), None),
            (r#"{"x":1}"#.to_owned(), Some((400, "unknown_field"))),
            ("nonsense".to_owned(), Some((400, "invalid_body"))),
            (" ".repeat(BODY_BYTES_MAX + 1), Some((413, "body_too_large"))),
        ] {
            let request = Request::builder().uri("/").body(Body::from(body)).unwrap();
            let refused = NoBody::from_request(request, &()).await.err();
            assert_eq!(refused.map(|problem| (problem.status.as_u16(), problem.code)), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let stream = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let refused = read_json::<Wish>(&HeaderMap::new(), Body::from_stream(stream)).await.err();
        assert_eq!(refused.map(|problem| problem.status.as_u16()), Some(408));
    }
}
