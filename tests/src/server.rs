//! One `turnline up` as a child process: started, killed, terminated, restarted on the same data and port.
//! The process never outlives the value.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::binary;

/// How long a start may take, replay of the data directory included.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a drain after SIGTERM may take.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A running server with a data directory of its own.
pub struct Server {
    child: Option<Child>,
    port: u16,
    dir: TempDir,
    args: Vec<String>,
    env: Vec<(String, String)>,
    admin_token: String,
    secret: String,
    pub(crate) http: reqwest::Client,
}

impl Server {
    /// `turnline up` with these further arguments, ready to serve.
    pub async fn start(args: &[&str]) -> Server {
        Server::start_with(args, &[]).await
    }

    /// The same, with environment variables.
    pub async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Server {
        let mut server = Server {
            child: None,
            port: 0,
            dir: TempDir::with_prefix("turnline-test-").expect("a temporary folder"),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            admin_token: random_word(),
            secret: random_word(),
            http: client(),
        };
        // Somebody else may take a free port between finding and binding it: a first start may pick another.
        for _ in 0..3 {
            server.port = free_port();
            if server.spawn_and_wait().await.is_ok() {
                return server;
            }
        }
        panic!("`turnline up` did not become ready.\n{}", server.log_tail());
    }

    /// Starts it again on the same data directory and the same port.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "restart() comes after kill_9() or terminate()");
        if let Err(why) = self.spawn_and_wait().await {
            panic!("`turnline up` did not come back: {why}.\n{}", self.log_tail());
        }
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill_9(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().await.expect("to kill the server");
    }

    /// SIGTERM, and waits for the drain to end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal_term();
        self.wait_for_exit().await
    }

    /// SIGTERM alone: what happens during the drain can be watched, then [`Server::wait_for_exit`].
    pub fn signal_term(&self) {
        let pid = self.child.as_ref().and_then(Child::id).expect("a running server").to_string();
        let sent = std::process::Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM could not be sent to {pid}");
    }

    /// Waits until the process has ended by itself.
    pub async fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
            Ok(status) => status.expect("to wait for the server"),
            Err(_) => panic!("the server did not end within {STOP_DEADLINE:?}.\n{}", self.log_tail()),
        }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A `turnline` command as an operator on this machine would type it, aimed at nothing yet.
    pub fn command(&self) -> Command {
        let mut command = turnline_command();
        command.env("TURNLINE_ADMIN_TOKEN", &self.admin_token).env("TURNLINE_SECRET", &self.secret);
        command
    }

    /// The last lines the server wrote.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        format!("--- the last {} lines of its log ---\n{}\n---", tail.len(), tail.join("\n"))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    async fn spawn_and_wait(&mut self) -> Result<(), String> {
        let log = append_to(&self.log_path());
        let errors = log.try_clone().expect("a second handle of the log");
        let mut command = self.command();
        command.arg("up").args(["--listen", &self.address()]).arg("--data-dir").arg(self.data_dir());
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.stdout(log).stderr(errors).spawn().expect("the turnline binary starts"));
        let result = self.wait_until_ready().await;
        if result.is_err() {
            self.child = None;
        }
        result
    }

    /// An error when the process ended; a process that lives and is not ready in time fails the test.
    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < START_DEADLINE {
            let child = self.child.as_mut().expect("it was just spawned");
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended at once with {status}"));
            }
            let ready = self.http.get(format!("{}/readyz", self.url())).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("/readyz was not 200 within {START_DEADLINE:?}.\n{}", self.log_tail())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // An error means that it is gone already.
            let _ = child.start_kill();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// `turnline`, untouched by the caller's own TURNLINE_ settings, killed with its handle.
fn turnline_command() -> Command {
    let mut command = Command::new(binary::turnline());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TURNLINE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("an HTTP client")
}

fn append_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("to open the server's log")
}

fn random_word() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// A port below the range the system hands to outgoing connections: nobody takes it while a
/// server is down between kill and restart.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    (0..10_000)
        .map(|_| 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of 10,000 ports is free")
}
