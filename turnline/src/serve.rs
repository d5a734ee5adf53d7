//! `turnline serve`: one service, one process, over servers that all processes share.

use std::process::ExitCode;

use anyhow::bail;

use crate::process;
use crate::settings::Settings;
use crate::system::Role;
use crate::system::secrets::Secrets;
use crate::telemetry::start_logs;

pub async fn run(role: Role, settings: Settings) -> anyhow::Result<ExitCode> {
    start_logs(settings.log_format)?;
    if settings.redis.is_none() && settings.kafka.is_none() && settings.database.is_none() {
        bail!(
            "a service by itself shares rooms, events and reservations with others: give --redis, --kafka and --database. One process on its own files is `turnline up`"
        );
    }
    let secrets = Secrets::from_environment()?;
    let name = role.as_str();
    process::run(&settings, &secrets, &[role], |address| println!("{name} is up at http://{address}")).await
}
