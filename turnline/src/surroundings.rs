//! Flags of the commands that talk to a running system, given as `TURNLINE_…` in the environment or as a key
//! of `turnline.toml` instead: the command line wins, then the environment, then the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};
use figment::Figment;
use figment::providers::{Format, Toml};
use serde_json::Value;

/// Settings of `up` are read by [`crate::settings`]; these have theirs in the command line alone.
const CLIENTS: [&str; 3] = ["simulate", "room", "dlq"];

type Keys = BTreeMap<String, Value>;

/// Lets every flag of a client command come from the environment, or from the file if there is one.
///
/// # Errors
/// The file cannot be read.
pub fn surround(command: Command) -> anyhow::Result<Command> {
    let called = std::env::args().nth(1);
    // A file that is wrong disturbs nobody who does not need it.
    let keys = match called.is_some_and(|name| CLIENTS.contains(&name.as_str())) {
        true => file_keys()?,
        false => Keys::new(),
    };
    Ok(over(command, &keys))
}

/// The keys that client commands have in the file.
pub fn client_keys(command: &Command) -> Vec<String> {
    let clients = command.get_subcommands().filter(|sub| CLIENTS.contains(&sub.get_name()));
    clients.flat_map(keys_of).collect()
}

fn keys_of(command: &Command) -> Vec<String> {
    let below = command.get_subcommands().flat_map(keys_of);
    command.get_arguments().filter_map(key).chain(below).collect()
}

fn file_keys() -> anyhow::Result<Keys> {
    let file = match std::env::var_os("TURNLINE_CONFIG").map(PathBuf::from) {
        Some(path) => Toml::file_exact(path),
        None => Toml::file("turnline.toml"),
    };
    Figment::from(file).extract().context("the settings cannot be read (turnline.toml)")
}

fn over(command: Command, keys: &Keys) -> Command {
    CLIENTS
        .iter()
        .fold(command, |command, name| command.mut_subcommand(name, |client| surrounded_below(client, keys)))
}

fn surrounded_below(command: Command, keys: &Keys) -> Command {
    let command = command.mut_args(|arg| surrounded(arg, keys));
    command.mut_subcommands(|below| surrounded_below(below, keys))
}

fn surrounded(arg: Arg, keys: &Keys) -> Arg {
    let Some(key) = key(&arg) else { return arg };
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = arg.env(format!("TURNLINE_{}", key.to_uppercase()));
    let arg = if is_switch { arg.value_parser(BoolishValueParser::new()) } else { arg };
    match keys.get(&key) {
        None => arg,
        Some(Value::String(text)) => arg.required(false).default_value(text.clone()),
        Some(value) => arg.required(false).default_value(value.to_string()),
    }
}

/// As the file writes it; nothing for what is no flag.
fn key(arg: &Arg) -> Option<String> {
    arg.get_long().map(|long| long.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::{Cli, Command as Called};

    #[test]
    fn every_flag_of_a_client_has_a_variable_and_a_key() {
        let command = over(Cli::command(), &Keys::new());
        let mut commands: Vec<_> =
            CLIENTS.iter().map(|name| command.find_subcommand(name).unwrap()).collect();
        while let Some(client) = commands.pop() {
            for arg in client.get_arguments().filter(|arg| arg.get_long().is_some()) {
                assert!(arg.get_env().is_some(), "{} {:?}", client.get_name(), arg.get_long());
            }
            commands.extend(client.get_subcommands());
        }
        let keys = client_keys(&Cli::command());
        assert!(
            ["url", "room", "leave_fraction", "limit"]
                .iter()
                .all(|key| keys.iter().any(|known| known == key))
        );
    }

    #[test]
    fn the_file_is_asked_where_the_command_line_is_silent() {
        let file = r#"{"url": "http://127.0.0.1:1", "room": "demo", "visitors": 7, "buy": true}"#;
        let keys: Keys = serde_json::from_str(file).unwrap();
        let read = |line: &[&str]| {
            let matches = over(Cli::command(), &keys).try_get_matches_from(line).unwrap();
            match Cli::from_arg_matches(&matches).unwrap().command {
                Called::Simulate(args) => (args.url, args.visitors, args.buy),
                _ => panic!("another command"),
            }
        };
        let url = "http://127.0.0.1:1".to_owned();
        assert_eq!(read(&["turnline", "simulate"]), (url.clone(), 7, true));
        assert_eq!(read(&["turnline", "simulate", "--visitors", "9"]), (url, 9, true));
    }
}
