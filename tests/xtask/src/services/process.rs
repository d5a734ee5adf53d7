//! A child process in a group of its own, its output in a log file, and a guard that ends it when this process
//! disappears without a word. Also: whether a process id still means the process it once meant.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Interrupt,
    Quit,
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::Quit => "QUIT",
            Signal::Kill => "KILL",
        }
    }
}

pub struct Process {
    child: Child,
    /// A shell that waits for the end of its input, which only this process holds open.
    guard: Child,
}

impl Process {
    /// Starts it with its output appended to `log`. `last` is what the guard sends when this process is gone.
    pub fn spawn(mut command: Command, log: &Path, last: Signal) -> Result<Process> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| format!("{} cannot be written", log.display()))?;
        // A group of its own: Ctrl-C in a terminal is for us, and we end our children in our own way.
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("{program} could not be started"))?;
        let guard = guard(child.id(), last);
        match guard {
            Ok(guard) => Ok(Process { child, guard }),
            Err(why) => {
                let mut child = child;
                child.kill()?;
                child.wait()?;
                Err(why)
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("a child process could not be asked for")
    }

    /// Sends the signal and waits until it is gone; after `patience` it is killed, which is an error.
    pub fn end(mut self, signal: Signal, patience: Duration) -> Result<()> {
        if self.exited()?.is_some() {
            return Ok(());
        }
        send(self.pid(), signal)?;
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.exited()?.is_some() {
                return Ok(());
            }
            // sleep: the interval of a poll under a deadline
            std::thread::sleep(POLL);
        }
        bail!("process {} did not end within {patience:?} of SIG{} and was killed", self.pid(), signal.name())
    }

    /// Lets it live on after this process.
    pub fn leave(mut self) {
        dismiss(&mut self.guard);
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard goes first: later the number may be another process's. Errors mean: gone already.
        dismiss(&mut self.guard);
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = send(self.pid(), Signal::Kill);
            let _ = self.child.wait();
        }
    }
}

/// A process as it can be found again later: its number and when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub pid: u32,
    /// Clock ticks since boot; numbers are used again, this pair is not.
    pub started: u64,
}

impl Identity {
    /// Who runs under this number now; none when nobody does.
    pub fn of(pid: u32) -> Option<Identity> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything, brackets too. Fields behind it: state is 3, starttime is 22.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ended = matches!(*fields.first()?, "Z" | "X");
        let started = fields.get(19)?.parse().ok()?;
        (!ended).then_some(Identity { pid, started })
    }

    pub fn lives(&self) -> bool {
        Identity::of(self.pid) == Some(*self)
    }

    /// Sends the signal and waits; after `patience` it is killed.
    pub fn end(&self, signal: Signal, patience: Duration) -> Result<()> {
        for (signal, patience) in [(signal, patience), (Signal::Kill, Duration::from_secs(5))] {
            let began = Instant::now();
            if self.lives() {
                send(self.pid, signal)?;
            }
            while began.elapsed() < patience {
                if !self.lives() {
                    return Ok(());
                }
                // sleep: the interval of a poll under a deadline
                std::thread::sleep(POLL);
            }
        }
        bail!("process {} does not end, not even by SIGKILL", self.pid)
    }
}

/// To the process and those of its children that stayed in its group, as nginx's workers do. By the shell, as the
/// standard library can only kill, and only one.
fn send(pid: u32, signal: Signal) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$1\" -- \"-$0\"", &pid.to_string(), signal.name()]);
    let answer = shell.stdin(Stdio::null()).output().context("sh could not be started")?;
    // Who ended a moment ago cannot be signalled, and need not be.
    if answer.status.success() || Identity::of(pid).is_none() {
        return Ok(());
    }
    bail!(
        "SIG{} could not be sent to {pid}: {}",
        signal.name(),
        String::from_utf8_lossy(&answer.stderr).trim()
    )
}

fn guard(pid: u32, last: Signal) -> Result<Child> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r _; kill -s \"$1\" -- \"-$0\"", &pid.to_string(), last.name()]);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    shell.spawn().context("sh could not be started")
}

/// Killed before its input closes, so that it does not do its work.
fn dismiss(guard: &mut Child) {
    let _ = guard.kill();
    let _ = guard.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(log: &Path) -> Process {
        let mut command = Command::new("sleep");
        command.arg("60");
        Process::spawn(command, log, Signal::Kill).unwrap()
    }

    fn log(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("xtask-{name}-{}.log", std::process::id()))
    }

    fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
            // sleep: the interval of a poll under a deadline
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn a_dropped_process_is_gone_and_one_left_lives_on() {
        let log = log("drop");
        let (dropped, left) = (sleeper(&log), sleeper(&log));
        let (gone, stays) = (Identity::of(dropped.pid()).unwrap(), Identity::of(left.pid()).unwrap());
        drop(dropped);
        left.leave();
        assert!(!gone.lives());
        assert!(stays.lives());
        stays.end(Signal::Terminate, Duration::from_secs(5)).unwrap();
        assert!(!stays.lives());
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn the_guard_ends_a_process_whose_owner_disappeared() {
        let log = log("guard");
        let mut process = sleeper(&log);
        let identity = Identity::of(process.pid()).unwrap();
        // What the system does to the pipe of a killed process.
        drop(process.guard.stdin.take());
        wait_until("the guard kills", || !identity.lives());
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn another_process_under_the_same_number_is_not_the_same() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.lives());
        assert!(!Identity { started: me.started + 1, ..me }.lives());
    }

    #[test]
    fn who_does_not_listen_is_killed_and_that_is_told() {
        let log = log("stubborn");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
        let process = Process::spawn(command, &log, Signal::Kill).unwrap();
        let identity = Identity::of(process.pid()).unwrap();
        wait_until("the trap is set", || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))
        });
        let error = process.end(Signal::Terminate, Duration::from_millis(200)).unwrap_err().to_string();
        assert!(error.contains("SIGTERM") && error.contains("killed"), "{error}");
        assert!(!identity.lives());
        std::fs::remove_file(log).unwrap();
    }
}
