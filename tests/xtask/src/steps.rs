//! The steps of `cargo xtask test`, in the order that finds a fault soonest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::{
    self, C_COMPILER, CHROMIUM, CLIPPY, INITDB, JAVA, MAVEN, NGINX, NODE, NPM, Need, POSTGRES, PSQL, REDIS,
    RUSTFMT,
};
use crate::run;
use crate::services::{self, Services};

/// One step: what it needs, what it does, and what to do when it fails.
pub struct Step {
    pub name: &'static str,
    pub what: &'static str,
    needs: &'static [Need],
    work: fn() -> Result<()>,
    /// What to try next after a failure.
    next: &'static str,
}

pub const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "every Rust file is formatted",
        needs: &[RUSTFMT],
        work: || run::command(&mut run::cargo(&["fmt", "--all", "--check"])),
        next: "`cargo fmt --all` formats everything.",
    },
    Step {
        name: "build",
        what: "everything, without a warning of the compiler or of clippy",
        needs: &[CLIPPY, C_COMPILER],
        work: || run::command(&mut linted(&["test", "--workspace", "--all-targets", "--no-run"])),
        next: "Each warning above names its rule; `cargo clippy --fix --workspace --all-targets` repairs many.",
    },
    Step {
        name: "rust",
        what: "unit, property, house and whole-system tests, on real Redis, Kafka and PostgreSQL",
        needs: &[CLIPPY, C_COMPILER, REDIS, JAVA, MAVEN, INITDB, POSTGRES, PSQL, NGINX],
        work: rust_tests,
        next: "One test again: `cargo test -p CRATE NAME`; a failed whole-system test shows its server's log above.",
    },
    Step {
        name: "web",
        what: "the pages' own JavaScript tests",
        needs: &[NODE],
        work: || node_tests(&run::root().join("web/test"), &[]),
        next: "One file again: `node --test web/test/FILE`.",
    },
    Step {
        name: "browser",
        what: "the pages in a real Chromium",
        needs: &[CLIPPY, C_COMPILER, NODE, NPM, CHROMIUM],
        work: browser_tests,
        next: "One file again: `TURNLINE_BIN=target/debug/turnline CHROMIUM=$(command -v chromium) node --test tests/browser/FILE`.",
    },
];

/// Runs all steps, or the one named; stops at the first that fails.
pub fn run(only: Option<&str>) -> Result<()> {
    let steps: Vec<&Step> = STEPS.iter().filter(|step| only.is_none_or(|name| name == step.name)).collect();
    if steps.is_empty() {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{}`; the steps are: {}", only.unwrap_or_default(), names.join(", "));
    }
    let needs: Vec<Need> = steps.iter().flat_map(|step| step.needs).copied().collect();
    machine::provide(&needs)?;
    let started = Instant::now();
    let mut times = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        println!("\n== [{}/{}] {}: {}", at + 1, steps.len(), step.name, step.what);
        let began = Instant::now();
        if let Err(why) = (step.work)() {
            let after = run::in_words(began.elapsed());
            bail!(
                "FAILED: {} ({}), after {after}\nwhy:    {why:#}\nnext:   {}",
                step.name,
                step.what,
                step.next
            );
        }
        println!(
            "== [{}/{}] {} passed in {}",
            at + 1,
            steps.len(),
            step.name,
            run::in_words(began.elapsed())
        );
        times.push((step.name, began.elapsed()));
    }
    println!("\n{}", summary(&times, started.elapsed()));
    Ok(())
}

fn summary(times: &[(&str, Duration)], all: Duration) -> String {
    let line = |(name, time): &(&str, Duration)| format!("  {name:<10} {}", run::in_words(*time));
    let lines: Vec<String> = times.iter().map(line).collect();
    format!("{}\nAll {} steps passed in {}.", lines.join("\n"), times.len(), run::in_words(all))
}

/// What is held against `turnline up` on servers too. Two at a time: each Turnline makes topics of its own.
const ON_SERVERS: [&str; 8] =
    ["test", "--workspace", "--test", "journeys", "--test", "bad_input", "--", "--test-threads=2"];

/// A cargo whose compiler for our own crates is clippy's, which lints what it compiles: `cargo clippy` would
/// have every dependency checked first, and then built once more for the tests. So every step that builds does
/// it in this way, and the whole workspace: a part of it would have its dependencies with fewer features, and
/// compile most of them once more as well.
fn linted(words: &[&str]) -> Command {
    let mut cargo = run::cargo(words);
    let driver = Path::new(cargo.get_program()).with_file_name("clippy-driver");
    // As `cargo clippy -- -D warnings` says it to its driver.
    cargo.env("RUSTC_WORKSPACE_WRAPPER", driver);
    cargo.env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
    cargo
}

/// The tests, and the binary that they start.
fn build() -> Result<()> {
    run::command(&mut linted(&["test", "--workspace", "--no-run"]))
}

/// All crates, with the binary of the step before and servers of their own.
fn rust_tests() -> Result<()> {
    build()?;
    let folder = run::target().join("test-services");
    services::remove(&folder)?;
    println!("starting Redis, Kafka and PostgreSQL");
    let mut servers = Services::start(&folder)?;
    let binary = run::turnline("debug")?;
    let test = |args: &[&str]| {
        let mut tests = linted(args);
        tests.env("TURNLINE_BIN", &binary).envs(servers.env());
        tests
    };
    let outcome = run::command(&mut test(&["test", "--workspace"])).and_then(|()| {
        println!("\nthe same from outside, with the state on servers");
        run::command(test(&ON_SERVERS).env("TURNLINE_TEST_ON", "servers"))
    });
    // After a failure too; whoever interrupts this leaves none behind either (see `services::Service`).
    let stopped = servers.stop();
    match outcome {
        Ok(()) => stopped.and_then(|()| services::remove(&folder)),
        Err(why) => Err(
            why.context(format!("the servers' logs and data are in {} until the next run", folder.display()))
        ),
    }
}

fn browser_tests() -> Result<()> {
    let folder = run::root().join("tests/browser");
    let chromium = machine::program(&CHROMIUM).context("chromium is not on the PATH")?;
    build()?;
    // The browser comes from Debian: the driver must not fetch one of its own.
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund"]).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    run::command(install.current_dir(&folder))?;
    node_tests(&folder, &[("TURNLINE_BIN", run::turnline("debug")?), ("CHROMIUM", chromium)])
}

/// Runs the test files of a folder; they are named one by one, as versions of node differ about folders.
fn node_tests(folder: &Path, env: &[(&str, PathBuf)]) -> Result<()> {
    let files = test_files(folder)?;
    if files.is_empty() {
        bail!("no file `*.test.js` or `*.test.mjs` in {}", folder.display());
    }
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec"]).args(files).current_dir(run::root());
    run::command(node.envs(env.iter().map(|(name, path)| (name, path))))
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".test.js") || name.ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let error = run(Some("frobnicate")).expect_err("there is no such step").to_string();
        assert!(error.contains("frobnicate") && error.contains("browser"), "{error}");
    }

    #[test]
    fn a_folder_without_tests_fails() {
        let error = node_tests(Path::new(env!("CARGO_MANIFEST_DIR")), &[]).expect_err("nothing to run");
        assert!(error.to_string().contains("no file"), "{error}");
    }

    #[test]
    fn the_summary_has_every_step() {
        let text = summary(
            &[("fmt", Duration::from_secs(1)), ("rust", Duration::from_secs(90))],
            Duration::from_secs(91),
        );
        assert!(text.contains("fmt        1.0 s") && text.contains("rust       1 min 30 s"), "{text}");
        assert!(text.ends_with("All 2 steps passed in 1 min 31 s."), "{text}");
    }
}
