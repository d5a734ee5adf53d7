//! `cargo xtask bench`: the measurements behind `BENCHMARKS.md`, one after the other, nothing else running.

use anyhow::Result;

use crate::machine::{self, C_COMPILER};
use crate::run;

/// Runs every benchmark.
pub fn run() -> Result<()> {
    machine::provide(&[C_COMPILER])?;
    println!("== the kernel: cost of join, admit, leave and a sweep by the length of the line");
    run::command(&mut run::cargo(&["bench", "--package", "kernel"]))
}
