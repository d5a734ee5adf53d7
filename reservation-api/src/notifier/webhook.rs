//! A webhook that takes what Slack's take: `{"text": …}` by POST, answered with 2xx; Mattermost, Rocket.Chat and
//! Discord (under `/slack`) do too. 429 and 503 may say how long to wait.

use std::time::Duration;

use axum::http::Uri;
use axum::http::header::RETRY_AFTER;
use serde_json::json;
use tokio::task::spawn_blocking;
use ureq::Agent;

/// How long a webhook may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Webhook {
    agent: Agent,
    url: Uri,
}

#[derive(Debug, thiserror::Error)]
#[error("a webhook is an address that begins with http:// or https://")]
pub struct BadWebhook;

/// The message was not taken; it may be sent again.
#[derive(Debug, thiserror::Error)]
#[error("the webhook {why}")]
pub struct Refused {
    why: String,
    pub retry_after: Option<Duration>,
}

impl Webhook {
    /// # Errors
    /// It is no address to which a message can be posted.
    pub fn parse(url: &str) -> Result<Self, BadWebhook> {
        let url: Uri = url.parse().map_err(|_| BadWebhook)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(BadWebhook);
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            // A redirect would carry what is told to where nobody meant it to go.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        Ok(Self { agent: agent.into(), url })
    }

    pub async fn post(&self, text: &str) -> Result<(), Refused> {
        let (webhook, message) = (self.clone(), json!({ "text": text }));
        let sent = spawn_blocking(move || webhook.agent.post(&webhook.url).send_json(&message)).await;
        let sent = sent.map_err(|_| Refused::of("could not be asked, a fault of ours".to_owned()))?;
        // Errors name the host at most: whoever knows all of the address may write there.
        let answer = sent.map_err(|error| Refused::of(format!("does not answer: {error}")))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        Err(Refused { retry_after, ..Refused::of(format!("answers {}", answer.status())) })
    }
}

impl Refused {
    fn of(why: String) -> Self {
        Self { why, retry_after: None }
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.url.host().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_posted_to_is_a_webhook() {
        for url in ["http://127.0.0.1:9/x", "https://hooks.slack.com/services/T/B/secret"] {
            let webhook = Webhook::parse(url).unwrap();
            assert!(!format!("{webhook:?}").contains("secret"));
        }
        for url in ["", "hooks.slack.com/x", "ftp://host/x", "http://", "/path"] {
            assert!(Webhook::parse(url).is_err(), "{url:?}");
        }
    }
}
