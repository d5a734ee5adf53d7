//! Running a program where the reader sees what runs and what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Runs it with its output shown as it comes; an error says which command failed and how.
pub fn command(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    succeed(command, &line)
}

/// The same, told beside standard output: for what gets ready while another program reads our output.
pub fn aside(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("$ {line}");
    succeed(command.stdout(Stdio::from(std::io::stderr())), &line)
}

fn succeed(command: &mut Command, line: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("`{line}` could not be started"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("`{line}` failed ({status})"),
    }
}

/// The command as one would type it in the root of the checkout.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    let line = words.join(" ");
    match command.get_current_dir() {
        Some(folder) if folder != root() => format!("(in {}) {line}", folder.display()),
        Some(_) | None => line,
    }
}

/// The cargo that runs this, in the root of the checkout.
pub fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    command
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder.pop();
    folder
}

/// Where cargo builds, and where we keep what can be made again.
pub fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(folder)
}

/// `turnline`, as `cargo build` (or `cargo build --release`) leaves it.
pub fn turnline(profile: &str) -> Result<PathBuf> {
    // xtask itself lies in <target>/debug.
    let me = std::env::current_exe().context("the path of xtask itself")?;
    let target = me.ancestors().nth(2).context("xtask does not lie in a target folder")?;
    Ok(target.join(profile).join("turnline"))
}

/// `3.2 s`, `2 min 5 s`
pub fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named() {
        let error = command(Command::new("sh").args(["-c", "exit 3"])).expect_err("it fails");
        assert!(error.to_string().contains("sh -c exit 3") && error.to_string().contains('3'), "{error}");
        let error = command(&mut Command::new("no-such-program-anywhere")).expect_err("it is not there");
        assert!(error.to_string().contains("could not be started"), "{error}");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(in_words(Duration::from_millis(3_240)), "3.2 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 5 s");
    }
}
