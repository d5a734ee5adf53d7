//! Logs to standard error, figures to `/metrics`.

use std::io::IsTerminal;

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

/// What is logged unless told otherwise. PostgreSQL's own notices say only that a table is there already.
const USUAL: &str = "info,sqlx::postgres::notice=warn";

/// Starts structured logging; `TURNLINE_LOG` filters as tracing's directives do (default `info`).
pub fn start_logs(format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("TURNLINE_LOG").unwrap_or_else(|_| EnvFilter::new(USUAL));
    let colours = std::io::stderr().is_terminal();
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// What `/metrics` renders.
#[derive(Clone)]
pub struct Figures {
    recorder: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Figures {
    /// Installs the process's recorder; there is one a process.
    pub fn start() -> anyhow::Result<Self> {
        let recorder =
            PrometheusBuilder::new().install_recorder().context("the metrics recorder cannot start")?;
        let process = metrics_process::Collector::default();
        process.describe();
        Ok(Self { recorder, process })
    }

    pub fn render(&self) -> String {
        self.process.collect();
        self.recorder.run_upkeep();
        self.recorder.render()
    }
}
