//! The pages of Turnline and the files they load, carried inside the binary.
//! Stateless: a page is the same for everybody, and asks the API for what differs.

mod serve;

use axum::Router;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

/// The pages (`/`, `/rooms/{room}`, `/book/{performance}`, `/admin`) and `/assets/…`.
///
/// Fits a router of any state, since no handler here needs one.
pub fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(|headers: HeaderMap| page("home.html", headers)))
        .route("/rooms/{room}", get(|headers: HeaderMap| page("room.html", headers)))
        .route("/book/{performance}", get(|headers: HeaderMap| page("book.html", headers)))
        .route("/admin", get(|headers: HeaderMap| page("admin.html", headers)))
        .route("/favicon.ico", get(|headers: HeaderMap| async move { serve::asset("favicon.svg", &headers) }))
        .route("/assets/{*path}", get(asset))
}

async fn page(name: &'static str, headers: HeaderMap) -> Response {
    serve::page(name, &headers)
}

async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    // The raw path, not the decoded one: an asset's name never needs an escape.
    serve::asset(uri.path().strip_prefix("/assets/").unwrap_or_default(), &headers)
}
