//! `turnline simulate` as a process of its own: a crowd that goes through a system, and judges it.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::{Site, eventually};

/// A run takes a minute or two; this is for a slow and busy machine.
const RUN_DEADLINE: Duration = Duration::from_secs(300);

pub struct Crowd {
    process: Child,
    dir: TempDir,
}

/// What the crowd saw, when it ended well.
pub struct Verdict {
    /// As a reader of the terminal sees it.
    pub said: String,
    pub report: Value,
}

impl Crowd {
    /// Sends `visitors` into the room; `args` are further arguments of `simulate`.
    pub fn send(site: &Site, room: &str, visitors: u64, args: &[&str]) -> Crowd {
        let dir = TempDir::with_prefix("turnline-crowd-").expect("a temporary folder");
        let mut command = site.command();
        command.args(["simulate", "--url", &site.url(), "--room", room]).args(args);
        command
            .args(["--visitors", &visitors.to_string()])
            .arg("--report")
            .arg(dir.path().join("report.json"));
        let out = File::create(dir.path().join("crowd.log")).expect("to make the crowd's log");
        let errors = out.try_clone().expect("a second handle of the log");
        let process = command.stdout(out).stderr(errors).spawn().expect("the simulator starts");
        Crowd { process, dir }
    }

    /// Waits until it is so, while the crowd is under way.
    pub async fn until(&mut self, what: &str, so: impl AsyncFnMut() -> bool) {
        self.until_within(RUN_DEADLINE, what, so).await;
    }

    /// The same, under a deadline of its own.
    pub async fn until_within(&mut self, deadline: Duration, what: &str, mut so: impl AsyncFnMut() -> bool) {
        eventually(what, deadline, async || {
            self.is_still_there();
            so().await.then_some(())
        })
        .await;
    }

    /// Fails the test when the crowd has come to its end.
    pub fn is_still_there(&mut self) {
        let ended = self.process.try_wait().expect("to look at the simulator");
        assert!(ended.is_none(), "the simulator ended early with {ended:?}:\n{}", self.said());
    }

    /// Waits for the end, without a broken rule.
    pub async fn ends_well(&mut self) -> Verdict {
        let ended = tokio::time::timeout(RUN_DEADLINE, self.process.wait()).await;
        let said = self.said();
        let Ok(Ok(status)) = ended else { panic!("the simulation did not end:\n{said}") };
        assert!(status.success(), "a rule was broken, or the run failed ({status}):\n{said}");
        let text = self.text("report.json");
        let report: Value = serde_json::from_str(&text).unwrap_or_default();
        assert!(report.is_object(), "the report is no object: {text}");
        Verdict { said, report }
    }

    /// What it wrote so far.
    pub fn said(&self) -> String {
        self.text("crowd.log")
    }

    fn text(&self, file: &str) -> String {
        let path: PathBuf = self.dir.path().join(file);
        std::fs::read_to_string(path).unwrap_or_default()
    }
}
