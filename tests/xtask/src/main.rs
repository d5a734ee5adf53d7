//! `cargo xtask test` installs what the tests need and runs all of them; `cargo xtask bench` measures.
//! `cargo xtask services` keeps Redis, Kafka and PostgreSQL running for development.

use std::process::ExitCode;

use xtask::{bench, services, steps};

const USAGE: &str = "\
cargo xtask test                  install what is missing, then run every check and test
cargo xtask test --only STEP      one step, and only what it needs
cargo xtask services start        start Redis, Kafka and PostgreSQL, and print how to reach them:
                                  eval \"$(cargo xtask services start)\"
cargo xtask services status       which of them run, and where
cargo xtask services stop         end those that were started so; their data stays
cargo xtask bench                 the benchmarks behind BENCHMARKS.md

Steps:";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => steps::run(None),
        ["test", "--only", step] => steps::run(Some(step)),
        ["bench"] => bench::run(),
        // Their answers alone go to standard output, so that a shell can take them.
        ["services", "start"] => services::start().map(|exports| println!("{exports}")),
        ["services", "stop"] => services::stop().map(|done| println!("{done}")),
        ["services", "status"] => {
            println!("{}", services::status());
            Ok(())
        }
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
