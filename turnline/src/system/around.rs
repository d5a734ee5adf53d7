//! Around every answer of the router, once for all of it, since a layer of the router is a copy and a box more
//! for each request: a panic becomes an answer, and pages of any origin may ask the API.

use std::any::Any;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::Problem;
use tower::{Layer, ServiceExt};
use tower_http::catch_panic::{CatchPanic, ResponseForPanic};
use tower_http::cors::{Any as AnyOrigin, Cors, CorsLayer};

/// What browsers may read of an answer beside the usual.
const READABLE: [HeaderName; 3] = [header::RETRY_AFTER, header::DATE, header::LOCATION];
const ALLOWED_METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
const ALLOWED_HEADERS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT, HeaderName::from_static("idempotency-key")];
/// How long browsers may remember what they were allowed.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The router with what surrounds its answers; pages go without what is outermost.
pub struct Around(Cors<CatchPanic<Router, Apology>>);

impl Around {
    pub fn new(app: Router) -> Self {
        Self(any_origin().layer(CatchPanic::custom(app, Apology)))
    }

    /// The router's answer.
    pub async fn answer(&self, request: Request) -> Result<Response, Infallible> {
        let answer = match is_of_the_api(request.uri().path()) {
            true => self.0.clone().oneshot(request).await,
            false => self.0.get_ref().clone().oneshot(request).await,
        };
        answer.map(|answer| answer.map(Body::new))
    }
}

/// A shop's own page may call the API from the shop's origin: callers show tokens, never cookies, so an
/// origin has nothing to protect, and no answer depends on it.
fn any_origin() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AnyOrigin)
        .allow_methods(ALLOWED_METHODS)
        .allow_headers(ALLOWED_HEADERS)
        .expose_headers(READABLE)
        .max_age(REMEMBERED)
        .vary([])
}

fn is_of_the_api(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/.well-known/")
}

/// What a caller is told whose handler panicked.
#[derive(Clone, Copy)]
struct Apology;

impl ResponseForPanic for Apology {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send>) -> Response {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let why = text.or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(why, "a handler panicked; this is a fault of ours");
        let detail = "this is a fault of ours; repeat the call, and tell us if it stays";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).into_response()
    }
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
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Around::new(app).answer(request).await.unwrap()
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
