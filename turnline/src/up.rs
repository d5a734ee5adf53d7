//! `turnline up`: all five services in one process, on embedded, durable backends or on servers.

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::process;
use crate::settings::Settings;
use crate::system::secrets::Secrets;
use crate::system::{Role, demo};
use crate::telemetry::start_logs;

pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    start_logs(settings.log_format)?;
    let secrets = Secrets::load_or_make(&settings.data_dir)?;
    process::run(&settings, &secrets, &Role::ALL, |address| announce(&settings, address)).await
}

fn announce(settings: &Settings, address: SocketAddr) {
    println!("Turnline is up at http://{address}");
    if settings.demo {
        println!("  waiting page   http://{address}/rooms/{}", demo::ROOM);
        println!("  booking page   http://{address}/book/{}", demo::PERFORMANCE);
    }
    println!("  operator       http://{address}/admin");
    println!("  API            http://{address}/docs");
    println!("  data and keys  {}", settings.data_dir.display());
}
