//! `cargo xtask bench`: the measurements behind `BENCHMARKS.md`, one after the other, nothing else running.

use anyhow::Result;

use crate::machine::{self, C_COMPILER, NODE, NPM, REDIS_TOOLS, SS, WRK};
use crate::{run, services};

/// Runs every benchmark: the whole system's and the servers' against their floors, then those by criterion.
pub fn run() -> Result<()> {
    machine::provide(&[C_COMPILER, WRK, REDIS_TOOLS, SS, NODE, NPM])?;
    services::provide()?;
    run::command(&mut run::cargo(&["build", "--release", "--package", "turnline", "--package", "bench"]))?;
    run::command(
        run::cargo(&["run", "--release", "--package", "bench"])
            .env("TURNLINE_BIN", run::turnline("release")?),
    )?;
    run::command(&mut run::cargo(&["bench", "--package", "kernel", "--package", "backend"]))
}
