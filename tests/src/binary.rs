//! Finds the `turnline` binary to test: `TURNLINE_BIN`, else the one of this checkout, brought up to date.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Path of the binary under test. Builds it first unless `TURNLINE_BIN` names one,
/// so that nobody ever tests yesterday's binary.
pub fn turnline() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("TURNLINE_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "TURNLINE_BIN names {}, which is not a file", path.display());
            path.canonicalize().expect("a path that was just seen")
        }
        None => build(),
    })
}

/// Builds into the target folder and profile this very test was built in.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    // Tests lie in target/<profile>/deps, programs beside that folder.
    let folder = test.parent().expect("a program lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    let profile = profile.expect("target/<profile>").to_owned();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "turnline"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.env("CARGO_TARGET_DIR", profile.parent().expect("target/<profile>"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(
        status.success(),
        "`cargo build --package turnline` failed; set TURNLINE_BIN to test a built binary"
    );
    profile.join("turnline")
}
