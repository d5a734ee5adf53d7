//! The only binary of Turnline: reads the command line and hands over to a command.

mod doctor;
mod front;
mod limits;
mod operator;
mod process;
mod serve;
mod settings;
mod simulate;
mod surroundings;
mod system;
mod telemetry;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Joins and pushes are many small allocations on many threads; glibc's allocator cost a tenth of a join.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "turnline", version, about = "A virtual waiting queue")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system in one process, on embedded, durable backends or on servers
    Up(settings::UpFlags),
    /// Run one service, one process, on Redis, Kafka and PostgreSQL; any number of replicas of each
    Serve {
        service: system::Role,
        #[command(flatten)]
        flags: settings::ServeFlags,
    },
    /// Send simulated visitors through a running system and check its rules from outside
    Simulate(simulate::SimulateArgs),
    /// Look after rooms, over the admin API
    Room(operator::RoomArgs),
    /// Look at what could not be handled, and put it back
    Dlq(operator::DlqArgs),
    /// Say what this machine allows or lacks
    Doctor,
    /// Print the configuration in force, secrets hidden
    Config(settings::UpFlags),
}

fn main() -> ExitCode {
    match called().and_then(run) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("turnline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn called() -> anyhow::Result<Command> {
    let matches = surroundings::surround(Cli::command())?.get_matches();
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Up(flags) => runtime.block_on(up::run(settings::Settings::load(&flags)?)),
        Command::Serve { service, flags } => {
            runtime.block_on(serve::run(service, settings::Settings::load(&flags)?))
        }
        Command::Simulate(args) => runtime.block_on(simulate::run(args)),
        Command::Room(args) => runtime.block_on(operator::run_room(args)),
        Command::Dlq(args) => runtime.block_on(operator::run_dlq(args)),
        Command::Doctor => doctor::run(),
        Command::Config(flags) => {
            print!("{}", settings::Settings::load(&flags)?.describe());
            Ok(ExitCode::SUCCESS)
        }
    }
}
