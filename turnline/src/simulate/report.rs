//! What the run showed: as data, as text for the terminal, as a page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::figures::{Figures, Quantiles, Timing};
use super::report_page::page;

/// The whole report; `--report FILE.json` writes exactly this.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// No rule broken and everybody finished.
    pub ok: bool,
    pub url: String,
    pub room: String,
    pub visitors: u32,
    pub arrivals: String,
    pub medium: &'static str,
    pub buy: bool,
    pub seed: u64,
    pub duration_seconds: f64,
    pub outcomes: Outcomes,
    /// Why visitors failed, and how many.
    pub failures: BTreeMap<String, u64>,
    pub rates: Rates,
    pub latencies: Vec<Latency>,
    pub memory: MemoryUse,
    pub channel: ChannelUse,
    pub numbers: Numbers,
    pub rules: Vec<RuleReport>,
    pub rules_broken: u64,
    /// Worth knowing, breaking no rule.
    pub remarks: BTreeMap<String, u64>,
}

/// How many visitors came to which end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcomes {
    pub joined: u64,
    pub paid: u64,
    pub gave_back: u64,
    pub sold_out: u64,
    pub left: u64,
    pub abandoned: u64,
    pub expired: u64,
    pub sent_away: u64,
    pub failed: u64,
    pub unfinished: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    pub joins_per_second: Option<f64>,
    pub admitted_per_second: Option<f64>,
    pub pushes_per_second: Option<f64>,
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "joins/s {} · admitted/s {} · pushes/s {}",
            rounded(self.joins_per_second),
            rounded(self.admitted_per_second),
            rounded(self.pushes_per_second),
        )
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    pub name: &'static str,
    pub meaning: &'static str,
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct MemoryUse {
    /// Largest resident memory of the system; only read on this machine.
    pub server_max_bytes: Option<u64>,
    pub simulator_max_bytes: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ChannelUse {
    pub messages: u64,
    pub reconnects: u64,
    pub retried_calls: u64,
    /// Ends that had to be asked for because the channel did not tell.
    pub ends_unheard: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Numbers {
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Numbers in between that went to others, or to nobody.
    pub not_ours: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    pub rule: u8,
    pub check: &'static str,
    pub meaning: &'static str,
    pub checked: u64,
    pub broken: u64,
    pub examples: Vec<String>,
}

/// Every latency that was measured at least once.
pub fn latencies(figures: &Figures) -> Vec<Latency> {
    let latency = |timing: &Timing| {
        let quantiles = figures.quantiles(*timing)?;
        Some(Latency { name: timing.name(), meaning: timing.meaning(), quantiles })
    };
    Timing::ALL.iter().filter_map(latency).collect()
}

impl Report {
    /// Writes the report in the form that the file's extension names.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_file(self, page, path)
    }

    /// The report for the terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_head(&mut out).and_then(|()| self.write_figures(&mut out));
        let _ = write_rules(&self.rules, &self.remarks, &self.verdict(), &mut out);
        out
    }

    fn write_head(&self, out: &mut String) -> std::fmt::Result {
        let o = &self.outcomes;
        writeln!(
            out,
            "{} visitors, {}, {}{}, room {} at {}, {:.1} s, seed {}",
            self.visitors,
            self.arrivals,
            self.medium,
            if self.buy { ", buying" } else { "" },
            self.room,
            self.url,
            self.duration_seconds,
            self.seed,
        )?;
        writeln!(
            out,
            "joined {} · paid {} · gave back {} · sold out {} · left {} · abandoned {} · expired {} · sent away {} \
             · failed {} · unfinished {}",
            o.joined,
            o.paid,
            o.gave_back,
            o.sold_out,
            o.left,
            o.abandoned,
            o.expired,
            o.sent_away,
            o.failed,
            o.unfinished,
        )?;
        for (why, count) in &self.failures {
            writeln!(out, "  failed {count} × {why}")?;
        }
        Ok(())
    }

    fn write_figures(&self, out: &mut String) -> std::fmt::Result {
        write_latencies(&self.latencies, out)?;
        writeln!(
            out,
            "\n{} · messages {} · reconnects {} · retried calls {}",
            self.rates, self.channel.messages, self.channel.reconnects, self.channel.retried_calls,
        )?;
        writeln!(
            out,
            "memory: server {} · simulator {}",
            mebibytes(self.memory.server_max_bytes),
            mebibytes(self.memory.simulator_max_bytes),
        )
    }

    pub fn verdict(&self) -> String {
        let unfinished = self.outcomes.unfinished + self.outcomes.failed;
        match (self.rules_broken, unfinished) {
            (0, 0) => "No rule broken.".into(),
            (0, n) => format!("No rule broken, but {n} visitors did not finish."),
            (n, 0) => format!("RULES BROKEN: {n} times."),
            (n, m) => format!("RULES BROKEN: {n} times; {m} visitors did not finish."),
        }
    }
}

/// Writes a report as data, or as its page, whichever the file's extension names.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file<R: Serialize>(report: &R, page: impl Fn(&R) -> String, path: &Path) -> anyhow::Result<()> {
    let text = match path.extension().and_then(|e| e.to_str()) {
        Some("html") => page(report),
        _ => serde_json::to_string_pretty(report)?,
    };
    std::fs::write(path, text).map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))
}

pub fn write_latencies(latencies: &[Latency], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<22}{:>9}{:>11}{:>11}{:>11}{:>11}",
        "milliseconds", "count", "p50", "p90", "p99", "max"
    )?;
    for Latency { name, quantiles: q, .. } in latencies {
        writeln!(
            out,
            "{name:<22}{:>9}{:>11.1}{:>11.1}{:>11.1}{:>11.1}",
            q.count, q.p50_ms, q.p90_ms, q.p99_ms, q.max_ms
        )?;
    }
    Ok(())
}

/// What was checked and found, what is worth knowing besides, and the verdict.
pub fn write_rules(
    rules: &[RuleReport],
    remarks: &BTreeMap<String, u64>,
    verdict: &str,
    out: &mut String,
) -> std::fmt::Result {
    writeln!(out, "\n{:<6}{:<32}{:>10}{:>8}", "rule", "check", "looked at", "broken")?;
    for rule in rules {
        let seen = if rule.checked == 0 { "not seen".to_string() } else { rule.checked.to_string() };
        writeln!(out, "{:<6}{:<32}{seen:>10}{:>8}", rule.rule, rule.check, rule.broken)?;
        for example in &rule.examples {
            writeln!(out, "        BROKEN: {example}")?;
        }
    }
    for (what, count) in remarks {
        writeln!(out, "note: {what} ({count} ×)")?;
    }
    writeln!(out, "\n{verdict}")
}

/// One decimal; a dash where nothing was measured.
pub fn rounded(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.1}"))
}

pub fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".into(), |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::rules::{Check, Consequence, Tally};

    fn sample() -> Report {
        let mut tally = Tally::default();
        tally.judge(Check::SeatSoldOnce, false, || "seat p/<1> for two".into());
        let mut figures = Figures::default();
        figures.took(Timing::Join, std::time::Duration::from_millis(5));
        Report {
            room: "demo".into(),
            medium: "websocket",
            outcomes: Outcomes { joined: 3, paid: 2, failed: 1, ..Outcomes::default() },
            failures: [("hold: 500".to_string(), 1)].into(),
            latencies: latencies(&figures),
            rules: tally.report(),
            rules_broken: tally.broken(),
            ..Report::default()
        }
    }

    #[test]
    fn the_text_says_what_broke_and_what_was_never_seen() {
        let text = sample().text();
        assert!(text.contains("BROKEN: seat p/<1> for two"), "{text}");
        assert!(text.contains("failed 1 × hold: 500"), "{text}");
        assert!(text.contains("not seen"), "{text}");
        assert!(text.contains("RULES BROKEN: 1 times; 1 visitors did not finish."), "{text}");
    }

    #[test]
    fn the_file_is_json_or_a_page_by_its_name() {
        let folder = std::env::temp_dir().join(format!("turnline-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (json, html) = (folder.join("r.json"), folder.join("r.html"));
        sample().write(&json).unwrap();
        sample().write(&html).unwrap();
        let data: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
        assert_eq!(data["outcomes"]["paid"], 2);
        assert_eq!(data["latencies"][0]["name"], "join");
        assert_eq!(data["rules"].as_array().unwrap().len(), Check::ALL.len());
        let page = std::fs::read_to_string(&html).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.contains("seat p/&lt;1&gt; for two"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
