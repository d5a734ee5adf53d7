//! Where a running Turnline answers: one process, or many behind one address. Callers, visitors and operators
//! of a test talk to this.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::binary;

/// One address, and the secrets that its operator knows.
#[derive(Debug, Clone)]
pub struct Site {
    address: String,
    secrets: Secrets,
    pub(crate) http: reqwest::Client,
}

/// What every process of one Turnline is given in its environment.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    secret: String,
    admin_token: String,
}

impl Secrets {
    pub fn random() -> Secrets {
        Secrets { secret: random_word(), admin_token: random_word() }
    }

    /// `turnline` with these, untouched by the caller's own TURNLINE_ settings, killed with its handle.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary::turnline());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TURNLINE_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.env("TURNLINE_ADMIN_TOKEN", &self.admin_token).env("TURNLINE_SECRET", &self.secret);
        command
    }
}

impl Site {
    /// `address` is `HOST:PORT`.
    pub(crate) fn new(address: String, secrets: Secrets) -> Site {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
        Site { address, secrets, http: http.expect("an HTTP client") }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn admin_token(&self) -> &str {
        &self.secrets.admin_token
    }

    /// A `turnline` command as an operator on this machine would type it, aimed at nothing yet.
    pub fn command(&self) -> Command {
        self.secrets.command()
    }
}

fn random_word() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
