//! `turnline dlq …`: looks at what could not be handled, and puts it back.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::{Api, Place};

/// Characters of an error in the table; `show` tells all of it.
const ERROR_CHARS: usize = 60;

#[derive(Args)]
pub struct DlqArgs {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Subcommand)]
enum DlqCommand {
    /// What could not be handled, the newest first
    List {
        /// Letters at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// One letter with all that is known of it and what was in it
    Show { id: String },
    /// Publish what was set aside once more
    Replay { id: String },
}

pub async fn run(args: DlqArgs) -> anyhow::Result<ExitCode> {
    let api = Api::at(args.place)?;
    match args.command {
        DlqCommand::List { limit } => {
            let letters = api.list(&["dlq"], &[("limit", limit.to_string())]).await?;
            let Some(letters) = letters["items"].as_array() else { bail!("the answer has no letters") };
            if letters.is_empty() {
                println!("no dead letters");
            } else {
                print!("{}", table(letters));
            }
        }
        DlqCommand::Show { id } => print!("{}", whole(&api.call(Method::GET, &["dlq", &id], None).await?)),
        DlqCommand::Replay { id } => {
            let answer = api.call(Method::POST, &["dlq", &id, "replay"], None).await?;
            match answer["outcome"].as_str() {
                Some("put_back") => println!("{id} is put back; whoever could not handle it tries again"),
                Some("already") => println!("{id} was put back before; nothing was done"),
                other => bail!("the answer means nothing to us: {other:?}"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(letters: &[Value]) -> String {
    let head = ["ID", "SET ASIDE", "TOPIC", "GROUP", "ROOM", "TRIED", "PUT BACK", "ERROR"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(letters.iter().map(|letter| {
        let text = |name: &str| letter[name].as_str().unwrap_or("-").to_owned();
        let replayed = if letter["replayed"] == true { "yes" } else { "no" };
        let (attempts, error) = (letter["attempts"].to_string(), one_line(&text("error")));
        let (id, at, topic, group, room) =
            (text("id"), text("at"), text("topic"), text("group"), text("room"));
        [id, at, topic, group, room, attempts, replayed.to_owned(), error]
    }));
    let widths: Vec<_> =
        (0..head.len()).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn one_line(error: &str) -> String {
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    if error.chars().count() <= ERROR_CHARS {
        return error;
    }
    let short: String = error.chars().take(ERROR_CHARS - 1).collect();
    format!("{short}…")
}

/// Every field, and below what was in it; JSON laid out to be read.
fn whole(letter: &Value) -> String {
    let mut told = String::new();
    for (name, value) in letter.as_object().into_iter().flatten().filter(|(name, _)| *name != "value") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        told.push_str(&format!("{name:9} {value}\n"));
    }
    let value = letter["value"].as_str().unwrap_or_default();
    let laid_out = serde_json::from_str::<Value>(value).and_then(|json| serde_json::to_string_pretty(&json));
    format!("{told}\n{}\n", laid_out.unwrap_or_else(|_| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_lines_up() {
        let letter = |id: &str, room: Option<&str>, error: &str| {
            json!({
                "id": id, "at": "2030-06-01T18:00:00Z", "topic": "turnline.payments", "group": "active-queue",
                "room": room, "attempts": 6, "replayed": room.is_none(), "error": error,
            })
        };
        let letters = [letter("7", Some("demo"), "no such\nroom"), letter("12", None, &"x".repeat(100))];
        let table = table(&letters);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        let error_at = lines[0].find("ERROR").unwrap();
        assert!(lines[1].ends_with("6      no        no such room"), "{table}");
        assert_eq!(lines[1].find("no such room"), Some(error_at), "{table}");
        assert!(lines[2].ends_with('…'), "{table}");
    }

    #[test]
    fn everything_of_a_letter_is_shown() {
        let letter =
            json!({ "id": "7", "attempts": 6, "error": "no such room", "value": "{\"room\":\"r\"}" });
        let told = whole(&letter);
        assert!(told.contains("attempts  6\n") && told.contains("error     no such room\n"), "{told}");
        assert!(told.ends_with("\n{\n  \"room\": \"r\"\n}\n"), "{told}");
        assert!(whole(&json!({ "id": "7", "value": "not {json" })).ends_with("\nnot {json\n"));
    }
}
