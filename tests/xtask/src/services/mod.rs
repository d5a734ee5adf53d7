//! Redis, Kafka, PostgreSQL and nginx for development and tests: each on a free port of its own, with its data
//! and log below one folder, and started only when it *answers*. What a test starts ends with the test.

mod kafka;
mod kafka_wire;
mod kept;
mod nginx;
mod ports;
mod postgres;
mod process;
mod redis;

pub use kept::{start, status, stop};
pub use nginx::Upstreams;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::{self, Need};
use process::{Process, Signal};

/// How many lines of its log an error shows.
const TAIL_LINES: usize = 30;
/// How long an orderly stop may take before it becomes a kill.
const STOP_DEADLINE: Duration = Duration::from_secs(40);
/// A start that ends at once is tried again this long: what a killed process leaves behind (memory of
/// PostgreSQL's children, a port somebody took in passing) goes away by itself.
const RETRY_FOR: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// What is known about one program; everything else is the same for all.
trait Program: Send + Sync {
    fn name(&self) -> &'static str;
    /// What the machine must have.
    fn needs(&self) -> &'static [Need];
    /// Makes the data folder and the configuration for this port; called before each start.
    fn prepare(&self, dir: &Path, port: u16) -> Result<()>;
    /// The program in the foreground.
    fn command(&self, dir: &Path, port: u16) -> Result<std::process::Command>;
    /// Asks it something real; an error says what is missing still.
    fn answers(&self, dir: &Path, port: u16) -> Result<()>;
    /// The signal of an orderly stop.
    fn stop_signal(&self) -> Signal;
    /// The quickest end that leaves nothing behind; its data is not needed any more.
    fn drop_signal(&self) -> Signal;
    /// How long a start may take, a replay of its data included.
    fn deadline(&self) -> Duration;
    fn url(&self, port: u16) -> String;
}

/// One running program. It ends with this value, and with this process even when that is killed.
pub struct Service {
    program: Box<dyn Program>,
    dir: PathBuf,
    port: u16,
    running: Option<Process>,
}

impl Service {
    /// Redis with an append-only file that is synced before each answer. Data lies below `dir`.
    pub fn redis(dir: &Path) -> Result<Service> {
        Service::start(Box::new(redis::Redis), dir, None)
    }

    /// Apache Kafka, one node. Data lies below `dir`.
    pub fn kafka(dir: &Path) -> Result<Service> {
        Service::start(Box::new(kafka::Kafka), dir, None)
    }

    /// PostgreSQL with a role and a database `turnline`. Data lies below `dir`.
    pub fn postgres(dir: &Path) -> Result<Service> {
        Service::start(Box::new(postgres::Postgres), dir, None)
    }

    /// nginx with `deploy/nginx.conf` in front of these addresses. Its files lie below `dir`.
    pub fn nginx(dir: &Path, upstreams: Upstreams) -> Result<Service> {
        Service::start(Box::new(nginx::Nginx { upstreams }), dir, None)
    }

    fn start(program: Box<dyn Program>, dir: &Path, port: Option<u16>) -> Result<Service> {
        machine::provide(program.needs())?;
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("{} cannot be found", dir.display()))?;
        let port = match port.filter(|port| ports::is_free(*port)) {
            Some(port) => port,
            None => ports::free()?,
        };
        let mut service = Service { program, dir, port, running: None };
        service.spawn_until_it_answers()?;
        Ok(service)
    }

    pub fn name(&self) -> &'static str {
        self.program.name()
    }

    /// The process that listens; none after [`Service::kill_9`] or [`Service::stop`].
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Process::pid)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its data.
    pub fn dir(&self) -> PathBuf {
        self.dir.join(self.name())
    }

    pub fn log(&self) -> PathBuf {
        log_file(&self.dir, self.name())
    }

    /// What Turnline is given to reach it; nginx's is the one address of them all.
    pub fn url(&self) -> String {
        self.program.url(self.port)
    }

    /// `kill -9`, and waits until the process is gone. Nothing when it does not run.
    pub fn kill_9(&mut self) -> Result<()> {
        match self.running.take() {
            Some(process) => process.end(Signal::Kill, STOP_DEADLINE),
            None => Ok(()),
        }
    }

    /// Asks it to stop and waits until it has. Nothing when it does not run.
    pub fn stop(&mut self) -> Result<()> {
        match self.running.take() {
            Some(process) => process.end(self.program.stop_signal(), STOP_DEADLINE),
            None => Ok(()),
        }
    }

    /// Starts it again on the same port and data, after stopping it if it still runs, and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.spawn_until_it_answers()
    }

    /// Whether it answers right now.
    pub fn answers(&self) -> bool {
        self.running.is_some() && self.program.answers(&self.dir, self.port).is_ok()
    }

    fn spawn_until_it_answers(&mut self) -> Result<()> {
        let began = Instant::now();
        let what = self.name();
        loop {
            self.program
                .prepare(&self.dir, self.port)
                .with_context(|| format!("{what} cannot be prepared"))?;
            let command = self.program.command(&self.dir, self.port)?;
            let mut process = Process::spawn(command, &self.log(), self.program.drop_signal())?;
            let why = loop {
                match self.program.answers(&self.dir, self.port) {
                    Ok(()) if process.exited()?.is_none() => {
                        self.running = Some(process);
                        return Ok(());
                    }
                    // Somebody else answers on that port.
                    Ok(()) => break "it ended at once, and another program holds its port".to_owned(),
                    Err(why) => match process.exited()? {
                        Some(status) => break format!("it ended at once with {status}"),
                        None if began.elapsed() > self.program.deadline() => {
                            bail!(
                                "{what} did not answer within {:?}: {why:#}\n{}",
                                self.program.deadline(),
                                self.tail()
                            );
                        }
                        None => {}
                    },
                }
                // sleep: the interval of a poll under a deadline
                std::thread::sleep(POLL);
            };
            if began.elapsed() > RETRY_FOR {
                bail!("{what} did not start on port {}: {why}\n{}", self.port, self.tail());
            }
            // sleep: a moment for what the last process left behind to go away
            std::thread::sleep(POLL * 10);
        }
    }

    /// The end of its log, for an error message.
    pub fn tail(&self) -> String {
        tail(&self.log())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(process) = self.running.take() {
            // An error means that it is gone already, and a drop has nobody to tell.
            let _ = process.end(self.program.drop_signal(), STOP_DEADLINE);
        }
    }
}

/// The three that Turnline needs.
pub struct Services {
    pub redis: Service,
    pub kafka: Service,
    pub postgres: Service,
}

impl Services {
    /// Starts the three side by side with their data below `dir`, installing what is missing.
    pub fn start(dir: &Path) -> Result<Services> {
        provide()?;
        let (redis, kafka, postgres) = std::thread::scope(|scope| {
            let redis = scope.spawn(|| Service::redis(dir));
            let kafka = scope.spawn(|| Service::kafka(dir));
            let postgres = scope.spawn(|| Service::postgres(dir));
            (joined(redis.join()), joined(kafka.join()), joined(postgres.join()))
        });
        Ok(Services { redis: redis?, kafka: kafka?, postgres: postgres? })
    }

    /// `TURNLINE_REDIS`, `TURNLINE_KAFKA` and `TURNLINE_DATABASE` with their values.
    pub fn env(&self) -> [(&'static str, String); 3] {
        [
            ("TURNLINE_REDIS", self.redis.url()),
            ("TURNLINE_KAFKA", self.kafka.url()),
            ("TURNLINE_DATABASE", self.postgres.url()),
        ]
    }

    /// Stops the three in order; an error names the first that had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        let stopped = [self.redis.stop(), self.kafka.stop(), self.postgres.stop()];
        stopped.into_iter().collect()
    }
}

/// Removes the data and logs of stopped services below `dir`, and `dir`. Nothing when there is none.
pub fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    postgres::remove(dir)?;
    fs::remove_dir_all(dir).with_context(|| format!("{} cannot be removed", dir.display()))
}

/// Installs whatever of the services' programs is missing, Kafka's jars included.
pub fn provide() -> Result<()> {
    let needs: Vec<Need> = [redis::NEEDS, kafka::NEEDS, postgres::NEEDS, nginx::NEEDS].concat();
    machine::provide(&needs)?;
    kafka::jars().map(drop)
}

fn joined<T>(outcome: std::thread::Result<Result<T>>) -> Result<T> {
    outcome.unwrap_or_else(|_| bail!("a thread that started a service panicked; its message is above"))
}

fn log_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("--- the last {} lines of {} ---\n{}\n---", last.len(), log.display(), last.join("\n"))
}
