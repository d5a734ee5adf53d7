//! HTTP calls that outlive a restart of the system: bounded at once, retried with jitter, keys kept.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::chance::Chance;
use super::limits::HTTP_AT_ONCE;

const ATTEMPT: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);
const BACKOFF_LEAST: Duration = Duration::from_millis(50);
const BACKOFF_MOST: Duration = Duration::from_secs(2);
const RETRY_AFTER_MOST: u64 = 10;

/// One request; a retry repeats it exactly.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    method: Method,
    path: String,
    bearer: Option<&'a str>,
    key: Option<&'a str>,
    body: Option<Value>,
    joins: bool,
}

impl<'a> Call<'a> {
    pub fn get(path: impl Into<String>) -> Call<'a> {
        Call::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>, body: Value) -> Call<'a> {
        Call { body: Some(body), ..Call::new(Method::POST, path) }
    }

    pub fn delete(path: impl Into<String>) -> Call<'a> {
        Call::new(Method::DELETE, path)
    }

    pub fn bearer(self, token: &'a str) -> Call<'a> {
        Call { bearer: Some(token), ..self }
    }

    /// The `Idempotency-Key`.
    pub fn key(self, key: &'a str) -> Call<'a> {
        Call { key: Some(key), ..self }
    }

    /// One of the crowd at the door.
    pub fn at_the_door(self) -> Call<'a> {
        Call { joins: true, ..self }
    }

    fn new(method: Method, path: impl Into<String>) -> Call<'a> {
        Call { method, path: path.into(), bearer: None, key: None, body: None, joins: false }
    }
}

/// What was answered in the end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub took: Duration,
    pub attempts: u32,
    retry_after: Option<u64>,
    body: Vec<u8>,
}

impl Answer {
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as `T`.
    ///
    /// # Errors
    /// In words, when the status is no success or the body is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        if !self.ok() {
            return Err(self.problem());
        }
        serde_json::from_slice(&self.body)
            .map_err(|e| format!("{} with a body that does not fit: {e}", self.status))
    }

    /// The body as text, of a success.
    pub fn text(&self) -> Option<&str> {
        if self.ok() { std::str::from_utf8(&self.body).ok() } else { None }
    }

    /// The problem's stable code; empty when there is none.
    pub fn code(&self) -> String {
        let code = serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|v| Some(v.get("code")?.as_str()?.into()));
        code.unwrap_or_default()
    }

    /// Status and code, for an example or a failure.
    pub fn problem(&self) -> String {
        format!("{} {}", self.status, self.code()).trim_end().to_string()
    }
}

/// The system did not answer for as long as an outage may last.
#[derive(Debug)]
pub struct Away(pub String);

/// The HTTP side of one run.
pub struct Api {
    client: Client,
    stream_client: Client,
    pub base: Url,
    pub room: String,
    pub outage: Duration,
    gate: Semaphore,
    /// Joins queue among themselves: a crowd at the door must not hold up those inside.
    door: Semaphore,
    /// Channels that are being opened at once.
    pub opening: Semaphore,
}

impl Api {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: Url, room: String, outage: Duration) -> anyhow::Result<Api> {
        let builder = || {
            Client::builder().no_proxy().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none())
        };
        Ok(Api {
            client: builder().timeout(ATTEMPT).pool_max_idle_per_host(HTTP_AT_ONCE as usize).build()?,
            stream_client: builder().pool_max_idle_per_host(0).build()?,
            base,
            room,
            outage,
            gate: Semaphore::new(HTTP_AT_ONCE as usize),
            door: Semaphore::new(HTTP_AT_ONCE as usize),
            opening: Semaphore::new(HTTP_AT_ONCE as usize),
        })
    }

    pub fn room_path(&self, rest: &str) -> String {
        format!("/v1/rooms/{}{rest}", self.room)
    }

    /// Calls until something other than "try later" is answered.
    ///
    /// # Errors
    /// When nothing was answered for as long as an outage may last.
    pub async fn call(&self, call: Call<'_>, chance: &mut Chance) -> Result<Answer, Away> {
        let mut failing_since = None;
        for attempts in 1.. {
            let (why, pause) = match self.once(&call).await {
                Ok(answer) => match later(&answer) {
                    Later::No => return Ok(Answer { attempts, ..answer }),
                    Later::AtTheDoor(pause) => {
                        failing_since = None;
                        tokio::time::sleep(pause + backoff(attempts, chance)).await;
                        continue;
                    }
                    Later::Away(pause) => (answer.problem(), pause),
                },
                Err(error) => (error, Duration::ZERO),
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > self.outage {
                return Err(Away(format!("{} {}: {why}", call.method, route(&call.path))));
            }
            tokio::time::sleep(pause + backoff(attempts, chance)).await;
        }
        Err(Away("out of attempts".into()))
    }

    /// Calls once.
    ///
    /// # Errors
    /// In words, when nothing was answered.
    pub async fn once(&self, call: &Call<'_>) -> Result<Answer, String> {
        let gate = if call.joins { &self.door } else { &self.gate };
        let _permit = gate.acquire().await.map_err(|e| e.to_string())?;
        let began = Instant::now();
        let response = self.request(&self.client, call).send().await.map_err(plain)?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.bytes().await.map_err(plain)?.to_vec();
        Ok(Answer { status: status.as_u16(), took: began.elapsed(), attempts: 1, retry_after, body })
    }

    /// Opens a stream of server-sent events.
    ///
    /// # Errors
    /// `Ok` status refusals come back as the response; words when nothing was answered.
    pub async fn events(&self, ticket: &str) -> Result<reqwest::Response, String> {
        let call = Call::get(self.room_path("/channel")).bearer(ticket);
        let request = self.request(&self.stream_client, &call).header(header::ACCEPT, "text/event-stream");
        let sent = tokio::time::timeout(ATTEMPT, request.send()).await;
        sent.map_err(|_| "no answer in time".to_string())?.map_err(plain)
    }

    fn request(&self, client: &Client, call: &Call<'_>) -> RequestBuilder {
        let url = format!("{}{}", self.base.as_str().trim_end_matches('/'), call.path);
        let mut request = client.request(call.method.clone(), url);
        if let Some(token) = call.bearer {
            request = request.bearer_auth(token);
        }
        if let Some(key) = call.key {
            request = request.header("Idempotency-Key", key);
        }
        match &call.body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

/// A pause before the next attempt, longer and more spread out each time.
pub fn backoff(attempt: u32, chance: &mut Chance) -> Duration {
    let most = (BACKOFF_LEAST * 2u32.saturating_pow(attempt.min(10))).min(BACKOFF_MOST);
    chance.between(BACKOFF_LEAST, most)
}

/// Whether an answer means "try again", and when at the earliest.
#[derive(Debug, PartialEq, Eq)]
enum Later {
    No,
    /// The system is there and asks for patience: that is waiting in front of the door, not an outage.
    AtTheDoor(Duration),
    /// A part of the system is away.
    Away(Duration),
}

fn later(answer: &Answer) -> Later {
    let pause = Duration::from_secs(answer.retry_after.unwrap_or(0).min(RETRY_AFTER_MOST));
    match StatusCode::from_u16(answer.status) {
        Ok(StatusCode::TOO_MANY_REQUESTS) => Later::AtTheDoor(pause),
        Ok(StatusCode::SERVICE_UNAVAILABLE) if answer.code() == "queue_full" => Later::AtTheDoor(pause),
        Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => {
            Later::Away(pause)
        }
        _ => Later::No,
    }
}

/// The cause of a failed request, without the address.
fn plain(error: reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A path without the ids in it, so that one failure reads like another.
fn route(path: &str) -> &str {
    let end = path.match_indices('/').nth(3).map_or(path.len(), |(at, _)| at);
    path.get(..end).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>, code: &str) -> Answer {
        let body = serde_json::json!({ "code": code }).to_string().into_bytes();
        Answer { status, took: Duration::ZERO, attempts: 1, retry_after, body }
    }

    #[test]
    fn only_answers_that_say_later_are_retried() {
        for status in [200, 201, 400, 401, 404, 409, 500] {
            assert_eq!(later(&answer(status, None, "")), Later::No, "{status}");
        }
        let most = Duration::from_secs(RETRY_AFTER_MOST);
        assert_eq!(later(&answer(429, Some(2), "")), Later::AtTheDoor(Duration::from_secs(2)));
        assert_eq!(later(&answer(503, Some(9000), "queue_full")), Later::AtTheDoor(most));
        assert_eq!(later(&answer(503, Some(9000), "unavailable")), Later::Away(most));
        assert_eq!(later(&answer(502, None, "")), Later::Away(Duration::ZERO));
    }

    #[test]
    fn pauses_grow_within_bounds_and_differ() {
        let mut chance = Chance::new(3);
        let pauses: Vec<_> = (1..40).map(|attempt| backoff(attempt, &mut chance)).collect();
        assert!(pauses.iter().all(|p| (BACKOFF_LEAST..=BACKOFF_MOST).contains(p)));
        assert!(pauses.windows(2).all(|w| w[0] != w[1]));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_given_up_after_the_outage() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = Url::parse(&format!("http://{free}")).unwrap();
        let api = Api::new(url, "demo".into(), Duration::ZERO).unwrap();
        let Away(why) = api.call(Call::get(api.room_path("")), &mut Chance::new(1)).await.unwrap_err();
        assert!(why.starts_with("GET /v1/rooms/demo: "), "{why}");
    }
}
