//! `cargo xtask services`: Redis, Kafka and PostgreSQL that live on in `target/services` until they are stopped,
//! each remembered by its process id and start time, so that only what was started here is ever ended.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::process::Identity;
use super::{Program, STOP_DEADLINE, Service, kafka, postgres, provide, redis};
use crate::run;

/// Starts what does not run yet and gives the three `export` lines on one line, for `eval`.
pub fn start() -> Result<String> {
    let dir = folder();
    fs::create_dir_all(&dir)?;
    provide()?;
    let started = std::thread::scope(|scope| {
        let threads = programs().map(|program| scope.spawn(|| start_one(&dir, program)));
        threads.map(|thread| super::joined(thread.join()))
    });
    let [redis, kafka, database] = started;
    Ok(format!("export TURNLINE_REDIS={} TURNLINE_KAFKA={} TURNLINE_DATABASE={}", redis?, kafka?, database?))
}

/// Stops those that were started here, side by side, and says what was done.
pub fn stop() -> Result<String> {
    let dir = folder();
    let stopped = std::thread::scope(|scope| {
        let threads = programs().map(|program| scope.spawn(|| stop_one(&dir, program)));
        threads.map(|thread| super::joined(thread.join()))
    });
    let lines: Result<Vec<String>> = stopped.into_iter().collect();
    Ok(lines?.join("\n"))
}

/// One line a service: whether it runs, whether it answers, where.
pub fn status() -> String {
    let dir = folder();
    let mut text = String::new();
    for program in programs() {
        let name = program.name();
        let line = match Kept::read(&dir, name) {
            Some(kept) => {
                let answers = match program.answers(&dir, kept.port) {
                    Ok(()) => "answers".to_owned(),
                    Err(why) => format!("does not answer: {why:#}"),
                };
                format!("{name:<9} process {} · {} · {answers}", kept.identity.pid, program.url(kept.port))
            }
            None => format!("{name:<9} not running"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text.trim_end().to_owned()
}

/// In the order of the variables.
fn programs() -> [Box<dyn Program>; 3] {
    [Box::new(redis::Redis), Box::new(kafka::Kafka), Box::new(postgres::Postgres)]
}

fn folder() -> PathBuf {
    run::target().join("services")
}

fn start_one(dir: &Path, program: Box<dyn Program>) -> Result<String> {
    let name = program.name();
    if let Some(kept) = Kept::read(dir, name) {
        let url = program.url(kept.port);
        return match program.answers(dir, kept.port) {
            Ok(()) => {
                eprintln!("{name} already runs at {url}");
                Ok(url)
            }
            Err(why) => bail!(
                "{name} (process {}) runs and does not answer at {url}: {why:#}\n`cargo xtask services stop` ends it; then start again.\n{}",
                kept.identity.pid,
                super::tail(&super::log_file(dir, name))
            ),
        };
    }
    eprintln!("starting {name}");
    // The port of last time, if it is free: what somebody exported still holds.
    let mut service = Service::start(program, dir, Kept::last_port(dir, name))?;
    let process = service.running.take().context("it was just started")?;
    let identity =
        Identity::of(process.pid()).with_context(|| format!("{name} ended right after its start"))?;
    Kept { identity, port: service.port }.write(dir, name)?;
    process.leave();
    eprintln!(
        "{name} answers at {} (process {}, log {})",
        service.url(),
        identity.pid,
        service.log().display()
    );
    Ok(service.url())
}

fn stop_one(dir: &Path, program: Box<dyn Program>) -> Result<String> {
    let name = program.name();
    let Some(kept) = Kept::read(dir, name) else { return Ok(format!("{name} does not run")) };
    kept.identity.end(program.stop_signal(), STOP_DEADLINE)?;
    Ok(format!("{name} stopped; its data stays in {}", dir.join(name).display()))
}

/// What is remembered about one of them, in `<name>.kept`: process id, start time, port.
struct Kept {
    identity: Identity,
    port: u16,
}

impl Kept {
    /// None when nothing was started, or when it does not live any more.
    fn read(dir: &Path, name: &str) -> Option<Kept> {
        Kept::parse(&fs::read_to_string(file(dir, name)).ok()?).filter(|kept| kept.identity.lives())
    }

    fn last_port(dir: &Path, name: &str) -> Option<u16> {
        Kept::parse(&fs::read_to_string(file(dir, name)).ok()?).map(|kept| kept.port)
    }

    fn parse(text: &str) -> Option<Kept> {
        let mut words = text.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let started = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        Some(Kept { identity: Identity { pid, started }, port })
    }

    fn write(&self, dir: &Path, name: &str) -> Result<()> {
        let Identity { pid, started } = self.identity;
        Ok(fs::write(file(dir, name), format!("{pid} {started} {}\n", self.port))?)
    }
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.kept"))
}
