//! The pages as a browser gets them: types, headers, validators, and no link that leads nowhere.

#![allow(clippy::expect_used, reason = "a test fails loudly")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use tower::ServiceExt;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of visible characters"))
    }
}

async fn get(path: &str, known: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(etag) = known {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let app: Router = web::routes();
    let response = app.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    Answer { status: parts.status, headers: parts.headers, body }
}

const PAGES: [&str; 4] = ["/", "/rooms/demo", "/book/p-1", "/admin"];

/// What stands between `before` and the next quote, as often as it does.
fn quoted<'a>(text: &'a str, before: &str, quote: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(quote).next()).collect()
}

#[tokio::test]
async fn pages_are_html_that_is_asked_for_anew_and_runs_nothing_foreign() {
    for path in PAGES {
        let page = get(path, None).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.header(header::CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
        assert_eq!(page.header(header::CACHE_CONTROL), "no-cache", "{path}");
        assert_eq!(page.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        let policy = page.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        for inline in ["<style", "<script>", " style=", " onclick="] {
            assert!(!page.body.contains(inline), "{path} has {inline}, which its own policy forbids");
        }
    }
}

#[tokio::test]
async fn an_unchanged_page_and_asset_answer_304() {
    for path in PAGES.into_iter().chain(["/assets/turnline.js"]) {
        let etag = get(path, None).await.header(header::ETAG).to_owned();
        assert!(etag.starts_with('"'), "{path}: {etag}");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = get(path, Some(&known)).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path} for {known}");
            assert!(again.body.is_empty(), "{path}");
            assert_eq!(again.header(header::ETAG), etag, "{path}");
        }
        assert_eq!(get(path, Some("\"other\"")).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn every_link_to_an_asset_leads_somewhere_and_is_kept_for_good() {
    for path in PAGES {
        let page = get(path, None).await;
        let links: Vec<&str> = [quoted(&page.body, "href=\"", '"'), quoted(&page.body, "src=\"", '"')]
            .concat()
            .into_iter()
            .filter(|link| link.starts_with("/assets/"))
            .collect();
        assert!(links.len() >= 3, "{path} links {links:?}");
        for link in links {
            let asset = get(link, None).await;
            assert_eq!(asset.status, StatusCode::OK, "{link}");
            assert_eq!(asset.header(header::CACHE_CONTROL), "public, max-age=31536000, immutable", "{link}");
            let (folder, _) = link.rsplit_once('/').expect("a folder");
            for import in quoted(&asset.body, "from './", '\'') {
                let status = get(&format!("{folder}/{import}"), None).await.status;
                assert_eq!(status, StatusCode::OK, "{link} imports {import}");
            }
        }
    }
}

#[tokio::test]
async fn assets_have_their_own_types() {
    for (path, content_type) in [
        ("/assets/turnline.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/favicon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
    ] {
        let asset = get(path, None).await;
        assert_eq!(
            (asset.status, asset.header(header::CONTENT_TYPE)),
            (StatusCode::OK, content_type),
            "{path}"
        );
        assert_eq!(asset.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(asset.header(header::CACHE_CONTROL), "no-cache", "{path}");
    }
}

#[tokio::test]
async fn an_asset_of_another_version_is_served_and_not_kept() {
    let asset = get("/assets/v-0000000000000000/turnline.js", None).await;
    assert_eq!((asset.status, asset.header(header::CACHE_CONTROL)), (StatusCode::OK, "no-store"));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_of_404() {
    for path in [
        "/assets/nothing.js",
        "/assets/v-1/nothing.js",
        "/assets/../src/lib.rs",
        "/assets/%2e%2e/Cargo.toml",
        "/assets/v-1",
    ] {
        let answer = get(path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json", "{path}");
        assert!(answer.body.contains(r#""code":"not_found""#), "{path}: {}", answer.body);
    }
}
