//! The operator's commands over the admin API: `turnline room …` and `turnline dlq …`.

mod dead_letters;
mod rooms;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::settings::ADMIN_TOKEN;

pub use dead_letters::{DlqArgs, run as run_dlq};
pub use rooms::{RoomArgs, run as run_room};

/// Where to call.
#[derive(Args)]
struct Place {
    /// Where Turnline listens
    #[arg(long, env = "TURNLINE_URL", default_value = "http://127.0.0.1:8080", global = true)]
    url: Url,
}

/// The admin API of one Turnline.
struct Api {
    base: Url,
    token: String,
    http: reqwest::Client,
}

impl Api {
    fn at(place: Place) -> anyhow::Result<Self> {
        let token = std::env::var(ADMIN_TOKEN).with_context(|| {
            format!("set {ADMIN_TOKEN}; `up` keeps its own in the file admin-token of its data directory")
        })?;
        if place.url.cannot_be_a_base() {
            bail!("{} is no address to call; write one such as http://127.0.0.1:8080", place.url);
        }
        Ok(Self { base: place.url, token, http: reqwest::Client::new() })
    }

    /// Calls `/v1/admin/…`. `path` is in pieces, whatever characters an operator gave them.
    async fn call(&self, method: Method, path: &[&str], body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request, &self.base).await
    }

    async fn list(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        answer(self.http.get(url).bearer_auth(&self.token), &self.base).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut pieces) = url.path_segments_mut() {
            pieces.pop_if_empty().extend(["v1", "admin"]).extend(path);
        }
        url
    }
}

async fn answer(request: reqwest::RequestBuilder, base: &Url) -> anyhow::Result<Value> {
    let answer =
        request.send().await.with_context(|| format!("{base} does not answer; is Turnline up there?"))?;
    let status = answer.status();
    let text = answer.text().await.context("the answer broke off")?;
    if status.is_success() {
        return Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? });
    }
    bail!("{}", refusal(status, &text));
}

fn refusal(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    match (problem["code"].as_str(), problem["detail"].as_str()) {
        (Some(code), Some(detail)) => format!("refused ({}, {code}): {detail}", status.as_u16()),
        _ => format!("refused with status {}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_path_stay_pieces() {
        let url = |base: &str| {
            let base = Url::parse(base).unwrap();
            let api = Api { base, token: String::new(), http: reqwest::Client::new() };
            api.url(&["dlq", "a/b?c", "replay"]).to_string()
        };
        assert_eq!(url("http://127.0.0.1:8080"), "http://127.0.0.1:8080/v1/admin/dlq/a%2Fb%3Fc/replay");
        assert_eq!(url("http://h/queue/"), "http://h/queue/v1/admin/dlq/a%2Fb%3Fc/replay");
    }
}
