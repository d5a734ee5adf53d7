//! `cargo xtask bench`: the measurements behind `BENCHMARKS.md`, one after the other, nothing else running.

use anyhow::Result;

use crate::machine::{self, C_COMPILER, WRK};
use crate::run;

/// Runs every benchmark: the kernel's by criterion, the whole system's against its floors.
pub fn run() -> Result<()> {
    machine::provide(&[C_COMPILER, WRK])?;
    run::command(&mut run::cargo(&["build", "--release", "--package", "turnline", "--package", "bench"]))?;
    run::command(
        run::cargo(&["run", "--release", "--package", "bench"])
            .env("TURNLINE_BIN", run::turnline("release")?),
    )?;
    run::command(&mut run::cargo(&["bench", "--package", "kernel", "--package", "backend"]))
}
