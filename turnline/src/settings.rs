//! Settings of `up` and `serve`: flags win, then `TURNLINE_…` in the environment, then `turnline.toml`, then defaults.

mod channel;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, CommandFactory};
use figment::Figment;
use figment::providers::{Data, Env, Format, Serialized, Toml};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{Cli, surroundings};
use channel::ChannelFlags;
pub use channel::{ChannelSettings, FILES_BESIDE};

/// Secrets come from the environment alone, never from a flag or a file.
pub const SECRET: &str = "TURNLINE_SECRET";
pub const ADMIN_TOKEN: &str = "TURNLINE_ADMIN_TOKEN";

/// Every key of the file and, in capitals behind `TURNLINE_`, of the environment.
const KEYS: [&str; 20] = [
    "listen",
    "data_dir",
    "demo",
    "demo_capacity",
    "demo_seats",
    "charges",
    "max_holds",
    "joins_per_minute_per_address",
    "reuse_port",
    "sockets_max",
    "sockets_per_address",
    "handshakes_per_second",
    "far_from",
    "pushes_per_second",
    "log_format",
    "redis",
    "kafka",
    "database",
    "namespace",
    WEBHOOK_KEY,
];

/// No flag: whoever knows the address may write there, and flags are seen by everybody on the machine.
const WEBHOOK_KEY: &str = "webhook";

/// What `up` and `serve` have in common.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct ServeFlags {
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Redis that orders the rooms' events, such as redis://127.0.0.1:6379
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<String>,
    /// Kafka brokers that carry the events, such as 127.0.0.1:9092 (several with commas between)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka: Option<String>,
    /// PostgreSQL that keeps policies and reservations, such as postgres://turnline@127.0.0.1/turnline
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// Keeps this Turnline apart from others on the same servers [default: none]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Let visitors charge their own balance (`--demo` does)
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    charges: bool,
    /// Seats one pass may hold at once [default: 4]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_holds: Option<u64>,
    /// Joins one address may make a minute [default: no limit]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    joins_per_minute_per_address: Option<u32>,
    /// Let other processes listen on the same address, each taking a share of the connections
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reuse_port: bool,
    #[command(flatten)]
    #[serde(flatten)]
    channel: ChannelFlags,
    /// `text` or `json` [default: text]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
    /// File to read settings from [default: turnline.toml, if there is one]
    #[arg(long, env = "TURNLINE_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct UpFlags {
    /// Directory that keeps rooms, events, reservations and secrets [default: turnline-data]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Seed a room `demo` and a concert, and let visitors charge their own balance
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    demo: bool,
    /// Capacity of the demo room [default: 5]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    demo_capacity: Option<u64>,
    /// Seats of the demo performance [default: 200]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    demo_seats: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    common: ServeFlags,
}

/// Flags of a command that serves, as a layer of the settings.
pub trait Flags: Serialize {
    /// The file to read instead of `turnline.toml`.
    fn file(&self) -> Option<&PathBuf>;
}

impl Flags for ServeFlags {
    fn file(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }
}

impl Flags for UpFlags {
    fn file(&self) -> Option<&PathBuf> {
        self.common.config.as_ref()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    #[serde(deserialize_with = "switch")]
    pub demo: bool,
    pub demo_capacity: u64,
    pub demo_seats: usize,
    #[serde(deserialize_with = "switch")]
    pub charges: bool,
    pub max_holds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins_per_minute_per_address: Option<u32>,
    #[serde(deserialize_with = "switch")]
    pub reuse_port: bool,
    #[serde(flatten)]
    pub channel: ChannelSettings,
    pub log_format: LogFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub namespace: String,
    /// Where people are told of payments and faults: a Slack-compatible webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("turnline-data"),
            demo: false,
            demo_capacity: 5,
            demo_seats: 200,
            charges: false,
            max_holds: 4,
            joins_per_minute_per_address: None,
            reuse_port: false,
            channel: ChannelSettings::default(),
            log_format: LogFormat::Text,
            redis: None,
            kafka: None,
            database: None,
            namespace: String::new(),
            webhook: None,
        }
    }
}

impl Settings {
    pub fn load(flags: &impl Flags) -> anyhow::Result<Self> {
        let file = match flags.file() {
            Some(path) => Toml::file_exact(path),
            None => Toml::file("turnline.toml"),
        };
        known_keys(&file)?;
        Figment::from(Serialized::defaults(Self::default()))
            .merge(file)
            .merge(Env::prefixed("TURNLINE_").only(&KEYS))
            .merge(Serialized::defaults(flags))
            .extract()
            .context("the settings cannot be read (flags, TURNLINE_… in the environment, turnline.toml)")
    }

    /// One line a setting; of secrets only whether they are set.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) {
            for (key, value) in fields {
                let value = match value.as_str() {
                    Some(_) if key == WEBHOOK_KEY => "set, and not shown".to_owned(),
                    Some(address) if address.contains("://") => format!("{:?}", without_password(address)),
                    Some(_) | None => value.to_string(),
                };
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        for secret in [SECRET, ADMIN_TOKEN] {
            let set = std::env::var_os(secret).is_some();
            let _ = writeln!(
                text,
                "# {secret}: {}",
                if set { "set" } else { "made and kept in the data directory" }
            );
        }
        text
    }
}

/// An address as it may be shown: `scheme://name:…@host?password=…`. Rather too little than a password.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let named = rest.rsplit_once('@').and_then(|(credentials, host)| {
        credentials.split_once(':').map(|(name, _)| format!("{name}:…@{host}"))
    });
    let rest = named.as_deref().unwrap_or(rest);
    let Some((place, query)) = rest.split_once('?') else { return format!("{scheme}://{rest}") };
    let shown = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=…"),
        Some(_) | None => parameter.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(shown).collect();
    format!("{scheme}://{place}?{}", query.join("&"))
}

/// The file is shared by all commands; a key that none of them has is a slip of the pen.
fn known_keys(file: &Data<Toml>) -> anyhow::Result<()> {
    let keys: BTreeMap<String, serde_json::Value> =
        Figment::from(file).extract().context("the settings cannot be read (turnline.toml)")?;
    let clients = surroundings::client_keys(&Cli::command());
    match keys.keys().find(|key| !KEYS.contains(&key.as_str()) && !clients.contains(key)) {
        None => Ok(()),
        Some(key) => bail!("the settings cannot be read: turnline.toml has {key:?}, which is no setting"),
    }
}

/// A yes or no as the environment writes it: `true`, `1`, `yes`, `on`, or their opposites.
fn switch<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Plain(bool),
        Number(u64),
        Word(String),
    }
    let wrong = || de::Error::custom("write true or false");
    match Written::deserialize(from)? {
        Written::Plain(yes) => Ok(yes),
        Written::Number(0) => Ok(false),
        Written::Number(1) => Ok(true),
        Written::Number(_) => Err(wrong()),
        Written::Word(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" | "" => Ok(false),
            _ => Err(wrong()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_defaults_and_every_key_is_known() {
        let flags = UpFlags { demo: true, demo_capacity: Some(9), ..UpFlags::default() };
        let settings = Settings::load(&flags).unwrap();
        assert!(settings.demo);
        assert_eq!((settings.demo_capacity, settings.demo_seats), (9, 200));
        let server = || Some("there".to_owned());
        let every = Settings {
            joins_per_minute_per_address: Some(1),
            channel: ChannelSettings {
                sockets_max: Some(1),
                sockets_per_address: Some(1),
                ..ChannelSettings::default()
            },
            redis: server(),
            kafka: server(),
            database: server(),
            webhook: server(),
            ..Settings::default()
        };
        let fields = serde_json::to_value(every).unwrap();
        let mut known: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        let mut keys = KEYS.to_vec();
        known.sort_unstable();
        keys.sort_unstable();
        assert_eq!(known, keys);
    }

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        for (address, shown) in [
            ("postgres://turnline:p@ss:w@db/turnline", "postgres://turnline:…@db/turnline"),
            ("redis://:secret@cache:6379", "redis://:…@cache:6379"),
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            (
                "postgres://db/turnline?user=turnline&password=p@ss&sslmode=require",
                "postgres://db/turnline?user=turnline&password=…&sslmode=require",
            ),
            ("postgres://turnline:what?@db/turnline", "postgres://turnline:…@db/turnline"),
        ] {
            let settings = Settings { redis: Some(address.to_owned()), ..Settings::default() };
            let text = settings.describe();
            assert!(text.contains(&format!("redis = {shown:?}")), "{text}");
        }
    }

    #[test]
    fn a_switch_is_written_in_many_ways() {
        for (text, expected) in [
            ("true", Some(true)),
            ("1", Some(true)),
            (r#""Yes""#, Some(true)),
            (r#""off""#, Some(false)),
            ("0", Some(false)),
            ("2", None),
            (r#""maybe""#, None),
        ] {
            assert_eq!(switch(&mut serde_json::Deserializer::from_str(text)).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_file_may_have_the_keys_of_other_commands() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "max_holds = 2\nurl = \"http://127.0.0.1:1\"\nvisitors = 9\n").unwrap();
        let flags = ServeFlags { config: Some(file.path().to_owned()), ..ServeFlags::default() };
        assert_eq!(Settings::load(&flags).unwrap().max_holds, 2);
    }

    #[test]
    fn a_file_with_an_unknown_key_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "listne = \"127.0.0.1:1\"").unwrap();
        let flags = ServeFlags { config: Some(file.path().to_owned()), ..ServeFlags::default() };
        assert!(format!("{:#}", Settings::load(&flags).unwrap_err()).contains("listne"));
    }
}
