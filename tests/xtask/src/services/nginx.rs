//! nginx as `deploy/nginx.conf` describes it, with another port and other upstream addresses.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Program;
use super::process::Signal;
use crate::machine::{self, NGINX, Need};
use crate::run;

pub const NEEDS: &[Need] = &[NGINX];

const TIMEOUT: Duration = Duration::from_secs(2);
/// As `deploy/nginx.conf` says it.
const LISTEN: &str = "listen 8080 ";
const FILES: &str = "worker_rlimit_nofile 65536;";

/// Where the services behind nginx listen, `HOST:PORT` each; those of a service share its work.
#[derive(Debug, Clone)]
pub struct Upstreams {
    pub waiting_queue: Vec<String>,
    pub client_channel: Vec<String>,
    pub reservation_api: Vec<String>,
}

pub struct Nginx {
    pub upstreams: Upstreams,
}

impl Program for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn needs(&self) -> &'static [Need] {
        NEEDS
    }

    fn prepare(&self, dir: &Path, port: u16) -> Result<()> {
        let home = dir.join("nginx");
        fs::create_dir_all(&home)?;
        // Workers of a nginx that root started run as another user, who passes through.
        let mode = fs::metadata(dir)?.permissions().mode();
        fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o011))?;
        let deploy = run::root().join("deploy");
        let read = |name: &str| {
            let file = deploy.join(name);
            fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
        };
        let settings = read("nginx.conf")?;
        for line in [LISTEN, FILES] {
            ensure!(settings.matches(line).count() == 1, "deploy/nginx.conf has not exactly one `{line}`");
        }
        let settings = settings.replace(LISTEN, &format!("listen 127.0.0.1:{port} "));
        let settings = match hard_limit_of_files() {
            Some(limit) => settings.replace(FILES, &format!("worker_rlimit_nofile {limit};")),
            None => settings,
        };
        fs::write(home.join("nginx.conf"), settings)?;
        fs::write(home.join("upstreams.conf"), with_servers(&read("upstreams.conf")?, &self.upstreams)?)?;
        Ok(())
    }

    fn command(&self, dir: &Path, _port: u16) -> Result<Command> {
        let home = dir.join("nginx");
        let mut command = Command::new(machine::program(&NGINX).context("nginx is missing")?);
        command.arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf"));
        command.args(["-e", "stderr", "-g", "daemon off;"]);
        Ok(command)
    }

    /// Any answer of its own will do, whatever the services do.
    fn answers(&self, _dir: &Path, port: u16) -> Result<()> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 404 "), "a call was answered with {answer:?}");
        Ok(())
    }

    fn stop_signal(&self) -> Signal {
        Signal::Terminate
    }

    fn drop_signal(&self) -> Signal {
        Signal::Terminate
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }
}

/// How many files a process may open here. Asking for more than that would leave nginx with the soft limit, which
/// is 1,024 on many machines. None: no limit, or none that is known.
fn hard_limit_of_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// `deploy/upstreams.conf` with these addresses in place of its own, each with the parameters that its group's
/// first one has there.
fn with_servers(settings: &str, upstreams: &Upstreams) -> Result<String> {
    let mut text = String::new();
    let mut group: Option<&[String]> = None;
    for line in settings.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["upstream", name, "{"] => {
                group = Some(upstreams.of(name)?);
                text += &format!("{line}\n");
            }
            ["server", _, parameters @ ..] => {
                for address in group.take().unwrap_or_default() {
                    text += &format!("    server {address} {}\n", parameters.join(" "));
                }
            }
            _ => text += &format!("{line}\n"),
        }
    }
    Ok(text)
}

impl Upstreams {
    fn of(&self, group: &str) -> Result<&[String]> {
        let addresses = match group {
            "waiting_queue" => &self.waiting_queue,
            "client_channel" => &self.client_channel,
            "reservation_api" => &self.reservation_api,
            _ => anyhow::bail!("deploy/upstreams.conf has a group `{group}` that is not known here"),
        };
        ensure!(!addresses.is_empty(), "{group} has no address");
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_replaced_and_everything_else_stays() {
        let settings = "# a\nupstream waiting_queue {\n    zone w 1k;\n    server a:1 max_fails=3;\n    server b:2 max_fails=3;\n    keepalive 4;\n}\n";
        let upstreams = Upstreams {
            waiting_queue: vec!["x:1".into(), "y:2".into(), "z:3".into()],
            client_channel: vec!["c:1".into()],
            reservation_api: Vec::new(),
        };
        assert_eq!(
            with_servers(settings, &upstreams).unwrap(),
            "# a\nupstream waiting_queue {\n    zone w 1k;\n    server x:1 max_fails=3;\n    server y:2 max_fails=3;\n    server z:3 max_fails=3;\n    keepalive 4;\n}\n"
        );
        let error = with_servers("upstream reservation_api {\n", &upstreams).unwrap_err().to_string();
        assert!(error.contains("has no address"), "{error}");
        assert!(with_servers("upstream other {\n", &upstreams).is_err());
    }
}
