//! What the machine must have, and how it gets it: a program is looked for first, and only what is
//! missing is installed, from Debian's packages or with rustup.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::run;

/// One thing a step needs.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Need {
    /// Any of these will do, on the PATH or where Debian puts servers.
    pub programs: &'static [&'static str],
    /// Where it comes from when none is there.
    pub source: Source,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Source {
    /// A Debian package.
    Debian(&'static str),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
}

pub const C_COMPILER: Need =
    Need { programs: &["cc", "gcc", "clang"], source: Source::Debian("build-essential") };
pub const RUSTFMT: Need = Need { programs: &["cargo-fmt"], source: Source::Rustup("rustfmt") };
pub const CLIPPY: Need = Need { programs: &["cargo-clippy"], source: Source::Rustup("clippy") };
pub const NODE: Need = Need { programs: &["node"], source: Source::Debian("nodejs") };
pub const NPM: Need = Need { programs: &["npm"], source: Source::Debian("npm") };
pub const CHROMIUM: Need =
    Need { programs: &["chromium", "chromium-browser", "google-chrome"], source: Source::Debian("chromium") };
pub const WRK: Need = Need { programs: &["wrk"], source: Source::Debian("wrk") };
/// What the kernel counts of a connection.
pub const SS: Need = Need { programs: &["ss"], source: Source::Debian("iproute2") };
pub const REDIS: Need = Need { programs: &["redis-server"], source: Source::Debian("redis-server") };
/// redis-cli comes in the same package.
pub const REDIS_TOOLS: Need = Need { programs: &["redis-benchmark"], source: Source::Debian("redis-tools") };
/// Kafka needs Java 17 at least, which every Debian since 12 has as its default.
pub const JAVA: Need = Need { programs: &["java"], source: Source::Debian("default-jre-headless") };
pub const MAVEN: Need = Need { programs: &["mvn"], source: Source::Debian("maven") };
pub const INITDB: Need = Need { programs: &["initdb"], source: Source::Debian("postgresql") };
pub const POSTGRES: Need = Need { programs: &["postgres"], source: Source::Debian("postgresql") };
pub const PSQL: Need = Need { programs: &["psql"], source: Source::Debian("postgresql") };
pub const NGINX: Need = Need { programs: &["nginx"], source: Source::Debian("nginx-light") };

/// Installs those of `needs` that are missing; does nothing when all are there.
pub fn provide(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !is_there(need)).collect();
    let packages = names(&missing, |source| match source {
        Source::Debian(package) => Some(package),
        Source::Rustup(_) => None,
    });
    let components = names(&missing, |source| match source {
        Source::Rustup(component) => Some(component),
        Source::Debian(_) => None,
    });
    install_components(&components)?;
    install_packages(&packages)?;
    match missing.iter().find(|need| !is_there(need)) {
        Some(need) => bail!("{} was installed, yet none of {:?} was found", need.name(), need.programs),
        None => Ok(()),
    }
}

/// The first of the need's programs that is there.
pub fn program(need: &Need) -> Option<PathBuf> {
    need.programs.iter().find_map(|program| on_path(program))
}

impl Need {
    fn name(&self) -> &'static str {
        match self.source {
            Source::Debian(package) => package,
            Source::Rustup(component) => component,
        }
    }
}

/// rustup puts a proxy on the PATH for components that are not there: ask it, not the file system.
fn is_there(need: &Need) -> bool {
    match need.source {
        Source::Debian(_) => program(need).is_some(),
        Source::Rustup(_) => need.programs.iter().any(|program| answers(program)),
    }
}

fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn names(needs: &[Need], pick: impl Fn(Source) -> Option<&'static str>) -> Vec<&'static str> {
    let mut names: Vec<&str> = needs.iter().filter_map(|need| pick(need.source)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn install_components(components: &[&str]) -> Result<()> {
    if components.is_empty() {
        return Ok(());
    }
    let what = components.join(" ");
    if on_path("rustup").is_none() {
        bail!(
            "missing: {what}\nRust was not installed with rustup here. Install its {what} the way Rust was, then run this again."
        );
    }
    eprintln!("installing {what} with rustup");
    run::aside(Command::new("rustup").args(["component", "add"]).args(components))
}

fn install_packages(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let what = packages.join(" ");
    let debian = Path::new("/etc/debian_version").exists() && on_path("apt-get").is_some();
    if !debian {
        bail!(
            "missing: {what} (names of Debian's packages)\nThis machine is not a Debian. Install them the way it does, then run this again."
        );
    }
    if !is_root() {
        bail!(
            "missing: {what}\nInstalling needs root. Run this, then try again:\n  sudo apt-get install {what}"
        );
    }
    eprintln!("installing {what} with apt-get");
    run::aside(apt_get().arg("update"))?;
    run::aside(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|answer| answer.stdout.trim_ascii() == b"0")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(beside_the_path());
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Debian keeps servers where a plain PATH does not look; of several PostgreSQLs the newest comes first.
fn beside_the_path() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |folder: &PathBuf| -> u32 {
        folder.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
    };
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    let postgres = versions.into_iter().map(|folder| folder.join("bin"));
    postgres.chain(["/usr/sbin".into(), "/sbin".into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed() {
        let shell =
            Need { programs: &["no-such-program-anywhere", "sh"], source: Source::Debian("none-such") };
        assert!(provide(&[shell]).is_ok());
        assert!(program(&shell).is_some_and(|path| path.ends_with("sh")));
    }

    #[test]
    fn packages_are_named_once() {
        let needs = [CHROMIUM, NODE, CHROMIUM, CLIPPY];
        let debian = names(&needs, |source| match source {
            Source::Debian(package) => Some(package),
            Source::Rustup(_) => None,
        });
        assert_eq!(debian, ["chromium", "nodejs"]);
    }
}
