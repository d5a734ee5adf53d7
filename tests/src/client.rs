//! HTTP as a caller sees it: a request being made, and an answer with its JSON at hand.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::{Site, eventually};

/// How long a call is repeated that the server had no room for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request being made.
pub struct Call {
    request: reqwest::RequestBuilder,
    /// For messages: `POST /v1/rooms/r/tickets`.
    line: String,
}

/// What came back. `json` is `Null` for a body that is not JSON.
#[derive(Debug, Clone)]
pub struct Answer {
    pub line: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Site {
    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call("POST", path)
    }

    pub fn put(&self, path: &str) -> Call {
        self.call("PUT", path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call("DELETE", path)
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        let parsed = Method::from_bytes(method.as_bytes()).expect("an HTTP method");
        let request = self.http.request(parsed, format!("{}{path}", self.url()));
        Call { request, line: format!("{method} {path}") }
    }

    /// An admin call: `path` comes after `/v1/admin`.
    pub fn admin(&self, method: &str, path: &str) -> Call {
        self.call(method, &format!("/v1/admin{path}")).bearer(self.admin_token())
    }
}

impl Call {
    pub fn bearer(self, token: &str) -> Call {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends an `Idempotency-Key`.
    pub fn key(self, key: &str) -> Call {
        self.header("idempotency-key", key)
    }

    pub fn header(self, name: &str, value: &str) -> Call {
        Call { request: self.request.header(name, value), line: self.line }
    }

    pub fn json(self, body: &Value) -> Call {
        self.body("application/json", body.to_string().into_bytes())
    }

    /// A body as it is, well-formed or not.
    pub fn body(self, content_type: &str, bytes: Vec<u8>) -> Call {
        Call { request: self.request.header("content-type", content_type).body(bytes), line: self.line }
    }

    pub async fn send(self) -> Answer {
        let line = self.line.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{line} got no answer: {error}"))
    }

    /// As a careful caller: an answer that says to repeat the call (503) is followed, for a while. For a crowd on
    /// a slow machine, where the store has callers wait in line.
    pub async fn served(self) -> Answer {
        let line = self.line.clone();
        eventually(&format!("{line} is served"), PATIENCE, async || {
            let again = self.request.try_clone().expect("a body that can be sent twice");
            let answer = Call { request: again, line: line.clone() }.send().await;
            (answer.status != 503).then_some(answer)
        })
        .await
    }

    /// For times when the server may be away.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let answer = self.request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { line: self.line, status, headers, json, text })
    }
}

impl Answer {
    /// The answer itself, if its status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{} answered {}: {}", self.line, self.status, self.text);
        self
    }

    /// The answer, if it is a problem with this status and code, told as the contract says.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Answer {
        if let Err(fault) = self.problem_fault(status, &[code]) {
            panic!("{fault}");
        }
        self
    }

    /// What is wrong with this answer as a problem with `status` and one of `codes` (empty: any).
    pub fn problem_fault(&self, status: u16, codes: &[&str]) -> Result<(), String> {
        let fault =
            |what: &str| Err(format!("{}: {what}; it answered {}: {}", self.line, self.status, self.text));
        if self.status != status {
            return fault(&format!("expected status {status} {codes:?}"));
        }
        if !self.header("content-type").starts_with("application/problem+json") {
            return fault(&format!("content type is `{}`, not a problem", self.header("content-type")));
        }
        for field in ["type", "title", "detail", "code"] {
            if self.json[field].as_str().is_none_or(str::is_empty) {
                return fault(&format!("the problem has no `{field}`"));
            }
        }
        if self.json["status"].as_u64() != Some(u64::from(status)) {
            return fault("`status` in the body differs from the status of the answer");
        }
        let code = self.json["code"].as_str().unwrap_or_default();
        if !codes.is_empty() && !codes.contains(&code) {
            return fault(&format!("expected code {codes:?}"));
        }
        Ok(())
    }

    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A text field of the body.
    #[track_caller]
    pub fn text_of(&self, field: &str) -> String {
        match self.json[field].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("{}: no text `{field}` in {}", self.line, self.text),
        }
    }

    /// A whole number of the body.
    #[track_caller]
    pub fn number_of(&self, field: &str) -> i64 {
        match self.json[field].as_i64() {
            Some(number) => number,
            None => panic!("{}: no number `{field}` in {}", self.line, self.text),
        }
    }

    /// `items` of a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        match self.json["items"].as_array() {
            Some(items) => items.clone(),
            None => panic!("{}: no list `items` in {}", self.line, self.text),
        }
    }
}
