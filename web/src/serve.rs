//! Answers with an embedded file: its type, its validators, and what the browser may do with it.
//! Pages name their assets under a fingerprint of all assets, so a browser may keep those for good.

use std::fmt::Write;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "assets/"]
struct Assets;

#[derive(Embed)]
#[folder = "pages/"]
struct Pages;

/// Everything comes from this origin, nothing inline, and nobody frames a page with a Pay button.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Ask before use: right after an upgrade nobody is shown yesterday's page.
const REVALIDATE: &str = "no-cache";
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// A page of another version (a rolling upgrade) asked this node: serve it, let nobody keep it.
const KEEP_NOT: &str = "no-store";

/// A page by its file name, with its links to assets fingerprinted.
pub fn page(name: &str, request: &HeaderMap) -> Response {
    let Some(file) = Pages::get(name) else { return not_found() };
    let fingerprint = fingerprint();
    let etag = format!("\"{}-{fingerprint}\"", hex(&file.metadata.sha256_hash()[..8]));
    let html = String::from_utf8_lossy(&file.data).replace("/assets/", &format!("/assets/v-{fingerprint}/"));
    let mut response = answer(request, &etag, REVALIDATE, "text/html; charset=utf-8", Body::from(html));
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An asset by its path under `/assets/`, with or without the fingerprint folder; unknown: 404.
pub fn asset(path: &str, request: &HeaderMap) -> Response {
    let (name, cache) = match path.strip_prefix("v-").and_then(|rest| rest.split_once('/')) {
        Some((version, name)) if version == fingerprint() => (name, FOR_GOOD),
        Some((_, name)) => (name, KEEP_NOT),
        None => (path, REVALIDATE),
    };
    let Some(file) = Assets::get(name) else { return not_found() };
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let EmbeddedFile { data, .. } = file;
    let mut response = answer(request, &etag, cache, content_type(name), Body::from(data.into_owned()));
    // Shops load the client module from their own pages.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn answer(
    request: &HeaderMap,
    etag: &str,
    cache: &'static str,
    content_type: &'static str,
    body: Body,
) -> Response {
    let fresh = request.get_all(header::IF_NONE_MATCH).iter().any(|known| matches(known, etag));
    let mut response = Response::new(if fresh { Body::empty() } else { body });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if !fresh {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Ok(value) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `If-None-Match` compares weakly: a proxy that compressed the body may have marked the tag `W/`.
fn matches(known: &HeaderValue, etag: &str) -> bool {
    known.to_str().is_ok_and(|list| {
        list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
    })
}

fn not_found() -> Response {
    let body = r#"{"type":"about:blank","title":"Not Found","status":404,"code":"not_found","detail":"there is no such file here"}"#;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(KEEP_NOT));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}

/// One short name for the present content of all assets together (they import one another).
fn fingerprint() -> String {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for name in Assets::iter() {
        let hash = Assets::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default();
        for byte in name.bytes().chain(hash) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{sum:016x}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
