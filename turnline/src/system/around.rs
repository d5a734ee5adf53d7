//! Around every answer of the router, once for all of it, since a layer of the router is a copy and a box more
//! for each request: a panic becomes an answer, and pages of any origin may ask the API.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::Problem;
use futures_util::FutureExt;
use tower::ServiceExt;

/// A shop's own page may call the API from the shop's origin: callers show tokens, never cookies, so an
/// origin has nothing to protect, and no answer depends on it.
const ANY_ORIGIN: (HeaderName, HeaderValue) =
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
const READABLE: (HeaderName, HeaderValue) =
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after,date,location"));
/// What browsers ask beforehand, and how long they may remember it, in seconds.
const ALLOWED: [(HeaderName, HeaderValue); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST,PUT,DELETE")),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization,content-type,accept,idempotency-key"),
    ),
    (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
];

/// The router's answer.
pub async fn answer(app: Router, request: Request) -> Response {
    let api = is_of_the_api(request.uri().path());
    if api && request.method() == Method::OPTIONS {
        return asked_beforehand();
    }
    let mut answer = match AssertUnwindSafe(app.oneshot(request)).catch_unwind().await {
        Ok(Ok(answer)) => answer,
        Err(panic) => panicked(panic.as_ref()),
    };
    if api {
        insert(answer.headers_mut(), [ANY_ORIGIN, READABLE]);
    }
    answer
}

fn is_of_the_api(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/.well-known/")
}

fn asked_beforehand() -> Response {
    let mut answer = Response::new(Body::empty());
    insert(answer.headers_mut(), [ANY_ORIGIN]);
    insert(answer.headers_mut(), ALLOWED);
    answer
}

fn insert<const N: usize>(headers: &mut HeaderMap, fields: [(HeaderName, HeaderValue); N]) {
    for (name, value) in fields {
        headers.insert(name, value);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let why =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(why, "a handler panicked; this is a fault of ours");
    let detail = "this is a fault of ours; repeat the call, and tell us if it stays";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    async fn fails() {
        panic!("a fault of ours")
    }

    async fn asked(method: Method, path: &str) -> Response {
        let app = Router::new().route("/v1/fails", get(fails)).route("/page", get(|| async { "here" }));
        answer(app, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_that_any_page_may_read() {
        let failed = asked(Method::GET, "/v1/fails").await;
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(failed.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(failed.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[tokio::test]
    async fn only_the_api_is_for_every_origin() {
        let beforehand = asked(Method::OPTIONS, "/v1/fails").await;
        assert_eq!(beforehand.status(), StatusCode::OK);
        let methods = &beforehand.headers()[header::ACCESS_CONTROL_ALLOW_METHODS];
        assert_eq!(methods, "GET,POST,PUT,DELETE");
        let page = asked(Method::GET, "/page").await;
        assert!(!page.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
