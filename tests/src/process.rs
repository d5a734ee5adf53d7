//! One `turnline` process that serves: started until it is ready, killed, told to stop, started again.
//! It never outlives the value, and it says in its log file what it did.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::Site;

/// How long a start may take, replay of the data directory included.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a drain after SIGTERM may take.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const TAIL_LINES: usize = 60;

pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// None yet; `log` is where its output will be.
    pub fn new(name: &str, log: PathBuf) -> Process {
        Process { name: name.to_owned(), log, child: None }
    }

    /// Starts it and waits until `/readyz` of `site` answers 200. An error when it ended instead; one that lives
    /// and is not ready in time fails the test.
    pub async fn start(&mut self, mut command: Command, site: &Site) -> Result<(), String> {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.expect("to open the log of a process");
        let errors = log.try_clone().expect("a second handle of the log");
        self.child = Some(command.stdout(log).stderr(errors).spawn().expect("the turnline binary starts"));
        let ready = self.wait_until_ready(site).await;
        if ready.is_err() {
            self.child = None;
        }
        ready
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill_9(&mut self) {
        let mut child = self.child.take().expect("a running process");
        child.kill().await.expect("to kill a process");
    }

    /// SIGTERM alone: what happens during the drain can be watched, then [`Process::wait_for_exit`].
    pub fn signal_term(&self) {
        let pid = self.pid().expect("a running process").to_string();
        let sent = std::process::Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM could not be sent to {pid}");
    }

    /// Waits until the process has ended by itself.
    pub async fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running process");
        match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
            Ok(status) => status.expect("to wait for a process"),
            Err(_) => panic!("{} did not end within {STOP_DEADLINE:?}.\n{}", self.name, self.log_tail()),
        }
    }

    /// Whether it has ended by itself; if so it may be started again.
    pub fn has_ended(&mut self) -> bool {
        let Some(child) = &mut self.child else { return true };
        let ended = child.try_wait().expect("to ask for a process").is_some();
        if ended {
            self.child = None;
        }
        ended
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// The last lines it wrote.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("--- the last {} lines of {} ---\n{}\n---", tail.len(), self.name, tail.join("\n"))
    }

    async fn wait_until_ready(&mut self, site: &Site) -> Result<(), String> {
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < START_DEADLINE {
            let child = self.child.as_mut().expect("it was just spawned");
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended at once with {status}"));
            }
            match site.get("/readyz").try_send().await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => last = format!("; it answered {}: {}", answer.status, answer.text),
                Err(_) => {}
            }
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("/readyz of {} was not 200 within {START_DEADLINE:?}{last}.\n{}", self.name, self.log_tail())
    }
}

impl Drop for Process {
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

/// A port below the range the system hands to outgoing connections: nobody takes it while a
/// server is down between kill and restart.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    (0..10_000)
        .map(|_| 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of 10,000 ports is free")
}
