//! A serving process from its first log line to the end of its drain.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use kernel::crash::{self, CrashPoint};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::system::secrets::Secrets;
use crate::system::{Role, System, demo, http};
use crate::telemetry::Figures;
use crate::{front, limits};

const CRASH_AT: &str = "TURNLINE_CRASH_AT";
/// How long a drain may take before the process ends all the same.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves `roles` until it is told to stop. `announce` says where, once it is up.
pub async fn run(
    settings: &Settings,
    secrets: &Secrets,
    roles: &[Role],
    announce: impl FnOnce(SocketAddr),
) -> anyhow::Result<ExitCode> {
    arm_for_a_test()?;
    // Before anybody is told that we are up.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let figures = Figures::start()?;
    let files = limits::raise_open_files();
    for finding in limits::of_serving(settings.listen) {
        match finding.good {
            true => tracing::debug!("{}", finding.text),
            false => tracing::info!("this machine is narrow: {}", finding.text),
        }
    }
    let system = System::open(settings, secrets, roles, files).await?;
    let listener = front::listen(settings.listen, settings.reuse_port)?;
    let address = listener.local_addr().context("the listening address cannot be read")?;

    let stop = CancellationToken::new();
    if settings.demo {
        demo::seed(&system, settings).await?;
    }
    let app = http::router(&system, figures);
    let mut running = system.start(&stop);
    announce(address);
    let served = tokio::spawn(front::serve(listener, app, stop.clone()));

    tokio::select! {
        told = told_to_stop(&mut terminate) => told?,
        () = stop.cancelled() => {}
    }
    tracing::info!("draining: visitors are told to reconnect, services finish; a second signal ends at once");
    stop.cancel();
    let drained = async {
        running.finished().await;
        // A panic within was told when it happened.
        let _ = served.await;
    };
    tokio::select! {
        () = drained => {}
        () = tokio::time::sleep(DRAIN) => tracing::warn!("the drain took too long and is cut"),
        again = told_to_stop(&mut terminate) => again?,
    }
    tokio::select! {
        () = running.close() => {}
        again = told_to_stop(&mut terminate) => again?,
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A debug build ends itself where a test of crashes wants it to.
fn arm_for_a_test() -> anyhow::Result<()> {
    if cfg!(debug_assertions)
        && let Ok(name) = std::env::var(CRASH_AT)
    {
        let point = CrashPoint::parse(&name);
        crash::arm(point.with_context(|| format!("{CRASH_AT} names no point: {name}"))?);
    }
    Ok(())
}

async fn told_to_stop(terminate: &mut Signal) -> anyhow::Result<()> {
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("Ctrl-C cannot be heard")?,
    }
    Ok(())
}
