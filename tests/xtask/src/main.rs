//! `cargo xtask test` installs what the tests need and runs all of them; `cargo xtask bench` measures.
//! Kept to the standard library and anyhow, so that it starts within seconds on a fresh machine.

mod bench;
mod machine;
mod run;
mod steps;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test                  install what is missing, then run every check and test
cargo xtask test --only STEP      one step, and only what it needs
cargo xtask bench                 the benchmarks behind BENCHMARKS.md

Steps:";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => steps::run(None),
        ["test", "--only", step] => steps::run(Some(step)),
        ["bench"] => bench::run(),
        ["help" | "--help" | "-h"] => {
            println!("{}", usage());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{}", usage());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let steps = steps::STEPS.iter().map(|step| format!("  {:<10} {}", step.name, step.what));
    format!("{USAGE}\n{}", steps.collect::<Vec<_>>().join("\n"))
}
