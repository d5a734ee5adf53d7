//! `turnline room …`: the operator's calls over the admin API, printed as the API answers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::settings::ADMIN_TOKEN;

#[derive(Args)]
pub struct RoomArgs {
    /// Where Turnline listens
    #[arg(long, env = "TURNLINE_URL", default_value = "http://127.0.0.1:8080", global = true)]
    url: String,
    #[command(subcommand)]
    command: RoomCommand,
}

#[derive(Subcommand)]
enum RoomCommand {
    /// All rooms
    List,
    /// One room with its policy and figures
    Show {
        room: String,
    },
    /// Make a room from a policy file (JSON)
    Create {
        room: String,
        policy: PathBuf,
    },
    /// Change fields of a room's policy: `capacity=50 admit_per_minute=null`
    Set {
        room: String,
        #[arg(required = true)]
        fields: Vec<String>,
    },
    Open {
        room: String,
    },
    /// Stop admission; joins go on
    Pause {
        room: String,
    },
    Resume {
        room: String,
    },
    /// End all waiting tickets and take nobody in
    Close {
        room: String,
    },
    /// Tell every visitor something; without text, take it away
    Notice {
        room: String,
        text: Option<String>,
    },
}

pub async fn run(args: RoomArgs) -> anyhow::Result<ExitCode> {
    let token = std::env::var(ADMIN_TOKEN).with_context(|| {
        format!("set {ADMIN_TOKEN}; `up` keeps its own in the file admin-token of its data directory")
    })?;
    let api = Api { url: args.url.trim_end_matches('/').to_owned(), token, http: reqwest::Client::new() };
    let answer = match args.command {
        RoomCommand::List => api.call(Method::GET, "", None).await?,
        RoomCommand::Show { room } => {
            let mut shown = api.call(Method::GET, &format!("/{room}"), None).await?;
            shown["stats"] = api.call(Method::GET, &format!("/{room}/stats"), None).await?;
            shown
        }
        RoomCommand::Create { room, policy } => {
            let text = std::fs::read_to_string(&policy)
                .with_context(|| format!("{} cannot be read", policy.display()))?;
            let policy =
                serde_json::from_str(&text).with_context(|| format!("{} is no JSON", policy.display()))?;
            api.call(Method::PUT, &format!("/{room}"), Some(policy)).await?
        }
        RoomCommand::Set { room, fields } => {
            let mut policy = api.call(Method::GET, &format!("/{room}"), None).await?["policy"].take();
            change(&mut policy, &fields)?;
            api.call(Method::PUT, &format!("/{room}"), Some(policy)).await?
        }
        RoomCommand::Open { room } => api.call(Method::POST, &format!("/{room}/open"), None).await?,
        RoomCommand::Pause { room } => api.call(Method::POST, &format!("/{room}/pause"), None).await?,
        RoomCommand::Resume { room } => api.call(Method::POST, &format!("/{room}/resume"), None).await?,
        RoomCommand::Close { room } => api.call(Method::POST, &format!("/{room}/close"), None).await?,
        RoomCommand::Notice { room, text } => {
            api.call(Method::POST, &format!("/{room}/notice"), Some(json!({ "text": text }))).await?
        }
    };
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(ExitCode::SUCCESS)
}

struct Api {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Api {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request =
            self.http.request(method, format!("{}/v1/admin/rooms{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("{} does not answer; is Turnline up there?", self.url))?;
        let status = answer.status();
        let text = answer.text().await.context("the answer broke off")?;
        if status.is_success() {
            return Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? });
        }
        bail!("{}", refusal(status, &text));
    }
}

fn refusal(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    match (problem["code"].as_str(), problem["detail"].as_str()) {
        (Some(code), Some(detail)) => format!("refused ({}, {code}): {detail}", status.as_u16()),
        _ => format!("refused with status {}", status.as_u16()),
    }
}

/// Applies `field=value` pairs; a value is JSON, or text when it is none; `null` removes the field.
fn change(policy: &mut Value, fields: &[String]) -> anyhow::Result<()> {
    let Some(policy) = policy.as_object_mut() else { bail!("the room answered without a policy") };
    for field in fields {
        let Some((name, value)) = field.split_once('=') else {
            bail!("write fields as name=value, not {field:?}")
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if value.is_null() && name != "visitor_key" {
            policy.remove(name);
        } else {
            policy.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_change_and_null_removes() {
        let mut policy = json!({"capacity": 5, "admit_per_minute": 60});
        change(&mut policy, &["capacity=9".into(), "admit_per_minute=null".into(), "go_to=/shop".into()])
            .unwrap();
        assert_eq!(policy, json!({"capacity": 9, "go_to": "/shop"}));
        assert!(change(&mut policy, &["capacity".into()]).is_err());
    }
}
