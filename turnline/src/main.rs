//! The only binary of Turnline: reads the command line and hands over to a command.

mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "turnline", version, about = "A virtual waiting queue")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send simulated visitors through a running system and check its rules from outside
    Simulate(simulate::SimulateArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Simulate(args) => simulate::run(args).await,
    }
}
