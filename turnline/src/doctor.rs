//! `turnline doctor`: what this machine allows or lacks, in plain words.

use std::path::Path;
use std::process::ExitCode;

use crate::limits::{self, Finding};
use crate::settings::{Settings, UpFlags};

pub fn run() -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&UpFlags::default())?;
    let mut findings = limits::of_serving(settings.listen);
    findings.extend([ports_of_clients(), data_directory(&settings.data_dir)]);
    for Finding { good, text } in &findings {
        println!("{} {text}", if *good { "ok  " } else { "low " });
    }
    Ok(ExitCode::SUCCESS)
}

fn ports_of_clients() -> Finding {
    let count = limits::local_ports().map_or(0, |(first, last)| (last + 1).saturating_sub(first));
    Finding {
        good: count >= 20_000,
        text: format!(
            "local ports: {count} an address (net.ipv4.ip_local_port_range); they bound `simulate`, not the server"
        ),
    }
}

fn data_directory(path: &Path) -> Finding {
    let place = if path.exists() { path } else { Path::new(".") };
    match tempfile::tempfile_in(place) {
        Ok(_) => Finding { good: true, text: format!("data directory {} can be written", path.display()) },
        Err(error) => Finding {
            good: false,
            text: format!("data directory {} cannot be written: {error}", path.display()),
        },
    }
}
