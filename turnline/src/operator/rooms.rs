//! `turnline room …`: looks after rooms, and prints what the API answers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, Place};

#[derive(Args)]
pub struct RoomArgs {
    #[command(flatten)]
    place: Place,
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
    /// Make a room that its store has lost anew from the event log
    Rebuild {
        room: String,
    },
}

pub async fn run(args: RoomArgs) -> anyhow::Result<ExitCode> {
    let api = Api::at(args.place)?;
    let answer = match args.command {
        RoomCommand::List => api.call(Method::GET, &["rooms"], None).await?,
        RoomCommand::Show { room } => {
            let mut shown = api.call(Method::GET, &["rooms", &room], None).await?;
            shown["stats"] = api.call(Method::GET, &["rooms", &room, "stats"], None).await?;
            shown
        }
        RoomCommand::Create { room, policy } => {
            let text = std::fs::read_to_string(&policy)
                .with_context(|| format!("{} cannot be read", policy.display()))?;
            let policy =
                serde_json::from_str(&text).with_context(|| format!("{} is no JSON", policy.display()))?;
            api.call(Method::PUT, &["rooms", &room], Some(policy)).await?
        }
        RoomCommand::Set { room, fields } => {
            let mut policy = api.call(Method::GET, &["rooms", &room], None).await?["policy"].take();
            change(&mut policy, &fields)?;
            api.call(Method::PUT, &["rooms", &room], Some(policy)).await?
        }
        RoomCommand::Open { room } => tell(&api, &room, "open").await?,
        RoomCommand::Pause { room } => tell(&api, &room, "pause").await?,
        RoomCommand::Resume { room } => tell(&api, &room, "resume").await?,
        RoomCommand::Close { room } => tell(&api, &room, "close").await?,
        RoomCommand::Notice { room, text } => {
            api.call(Method::POST, &["rooms", &room, "notice"], Some(json!({ "text": text }))).await?
        }
        RoomCommand::Rebuild { room } => tell(&api, &room, "rebuild").await?,
    };
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(ExitCode::SUCCESS)
}

async fn tell(api: &Api, room: &str, order: &str) -> anyhow::Result<Value> {
    api.call(Method::POST, &["rooms", room, order], None).await
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
