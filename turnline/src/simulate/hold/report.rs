//! What a held crowd showed: as data and as text for the terminal.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::page::page;
use crate::simulate::report::{
    Latency, RuleReport, mebibytes, rounded, write_file, write_latencies, write_rules,
};

/// The whole report; `--report FILE.json` writes exactly this.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HoldReport {
    /// No rule broken, everybody in, and back after a storm.
    pub ok: bool,
    pub url: String,
    pub channels: Vec<String>,
    pub room: String,
    pub visitors: u32,
    pub arrivals: String,
    pub medium: &'static str,
    pub seed: u64,
    pub processes: usize,
    pub duration_seconds: f64,
    pub joined: u64,
    /// Who knew their place on an open channel when the holding ended, or needed none any more.
    pub know_their_place: u64,
    pub inside: u64,
    pub ended: u64,
    pub lost: u64,
    pub sockets_most: u64,
    pub seconds_to_join_all: Option<f64>,
    /// Until everybody had heard of their place.
    pub seconds_to_open_all: Option<f64>,
    /// Why visitors could not join, and how many.
    pub failures: BTreeMap<String, u64>,
    /// Handshakes that brought no channel, by why.
    pub refused: BTreeMap<String, u64>,
    /// Channels that ended, by close code.
    pub closed: BTreeMap<String, u64>,
    pub traffic: Traffic,
    pub simulator: Simulator,
    pub line: LineReport,
    pub storm: Option<StormReport>,
    pub latencies: Vec<Latency>,
    pub rules: Vec<RuleReport>,
    pub rules_broken: u64,
    /// Worth knowing, breaking no rule.
    pub remarks: BTreeMap<String, u64>,
}

/// What came while all were held, the storm left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Traffic {
    pub held_seconds: f64,
    pub messages: u64,
    pub messages_per_second: Option<f64>,
    pub messages_per_visitor_minute: Option<f64>,
    /// Messages with their frame headers, or whole HTTP answers; without those of TCP and IP.
    pub bytes_per_second: Option<f64>,
    pub bytes_per_visitor_minute: Option<f64>,
    /// Requests and their bytes, where visitors ask.
    pub requests_per_second: Option<f64>,
    pub bytes_out_per_visitor_minute: Option<f64>,
}

/// What the simulator itself needed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Simulator {
    /// Place, ticket and socket of a visitor, counted; not the kernel's part.
    pub kept_bytes_per_visitor: Option<f64>,
    /// All memory of the workers' own, with what joining left behind; not the binary's pages.
    pub memory_bytes: u64,
    /// Processor time a received message while all were held, of all threads of the workers.
    pub processor_micros_per_message: Option<f64>,
    pub processor_seconds: f64,
}

/// How exact the figures were.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LineReport {
    /// `number - position` was the same for all who were asked: one lane, first come first served.
    pub plain: bool,
    pub asked: u64,
    /// Until `tickets/me` and channel told the same to everybody asked.
    pub agreed_after_seconds: f64,
    /// The time allowed for that, and for any figure to be overtaken.
    pub bound_seconds: u64,
    /// Lateness is taken from the first who heard in the same process; the first of all processes heard it
    /// at most so much earlier (p99).
    pub first_heard_skew_ms: f64,
}

/// All sockets cut at once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StormReport {
    pub dropped: u64,
    pub spread_seconds: u64,
    pub seconds_until_all_back: Option<f64>,
    pub handshakes_refused: u64,
    /// Extra visitors, before and during.
    pub extra_joins: u64,
    pub extra_joins_failed: BTreeMap<String, u64>,
}

impl HoldReport {
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
        for (name, value) in self.facts() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name:<26}{value}");
        }
        let _ = write_latencies(&self.latencies, &mut out);
        let _ = write_rules(&self.rules, &self.remarks, &self.verdict(), &mut out);
        out
    }

    pub fn verdict(&self) -> String {
        match (self.rules_broken, self.ok) {
            (0, true) => "No rule broken.".into(),
            (0, false) => "No rule broken, but not everybody was in place.".into(),
            (n, _) => format!("RULES BROKEN: {n} times."),
        }
    }

    /// Everything but latencies and rules, as names and values.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            (
                "visitors",
                format!("{} in room {} at {}, seed {}", self.visitors, self.room, self.url, self.seed),
            ),
            ("how", format!("{}, {}, {} processes", self.medium, self.arrivals, self.processes)),
            (
                "took",
                format!("{:.1} s, {:.1} s of it holding", self.duration_seconds, self.traffic.held_seconds),
            ),
            ("joined", format!("{}, all after {}", self.joined, seconds(self.seconds_to_join_all))),
            (
                "know their place",
                format!("{}, all after {}", self.know_their_place, seconds(self.seconds_to_open_all)),
            ),
            ("inside, ended, lost", format!("{}, {}, {}", self.inside, self.ended, self.lost)),
            ("sockets at most", self.sockets_most.to_string()),
        ];
        facts.extend(self.traffic_facts());
        for (name, counts) in [
            ("not joined", &self.failures),
            ("handshakes refused", &self.refused),
            ("channels ended", &self.closed),
        ] {
            facts.extend(counts.iter().map(|(why, count)| (name, format!("{count} × {why}"))));
        }
        facts.extend(self.storm.iter().flat_map(StormReport::facts));
        let line = &self.line;
        let plain = if line.plain { "plain" } else { "not plain (lanes, a draw, or a figure that is wrong)" };
        facts.push((
            "line",
            format!(
                "{plain}; {} asked, agreed after {:.1} s of {} s; first heard within {:.1} ms (p99) by all processes",
                line.asked, line.agreed_after_seconds, line.bound_seconds, line.first_heard_skew_ms
            ),
        ));
        let own = &self.simulator;
        facts.push((
            "simulator",
            format!(
                "{} bytes kept a visitor, {} in all, {} µs a message, {:.1} s of processor time",
                rounded(own.kept_bytes_per_visitor),
                mebibytes(Some(own.memory_bytes)),
                rounded(own.processor_micros_per_message),
                own.processor_seconds
            ),
        ));
        facts
    }

    fn traffic_facts(&self) -> Vec<(&'static str, String)> {
        let traffic = &self.traffic;
        let mut facts = vec![
            (
                "messages",
                format!(
                    "{}, {} a second, {} a visitor a minute",
                    traffic.messages,
                    rounded(traffic.messages_per_second),
                    rounded(traffic.messages_per_visitor_minute)
                ),
            ),
            (
                "bytes in",
                format!(
                    "{} a second, {} a visitor a minute",
                    rounded(traffic.bytes_per_second),
                    rounded(traffic.bytes_per_visitor_minute)
                ),
            ),
        ];
        if traffic.requests_per_second.is_some() {
            facts.push((
                "requests",
                format!(
                    "{} a second, {} bytes out a visitor a minute",
                    rounded(traffic.requests_per_second),
                    rounded(traffic.bytes_out_per_visitor_minute)
                ),
            ));
        }
        facts
    }
}

impl StormReport {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let failed: u64 = self.extra_joins_failed.values().sum();
        let mut facts = vec![
            (
                "storm",
                format!(
                    "{} sockets cut at once, each back after up to {} s or as told; all in place after {}; {} handshakes refused",
                    self.dropped,
                    self.spread_seconds,
                    seconds(self.seconds_until_all_back),
                    self.handshakes_refused
                ),
            ),
            ("joins meanwhile", format!("{}, {failed} failed", self.extra_joins)),
        ];
        let failures = self.extra_joins_failed.iter();
        facts.extend(failures.map(|(why, count)| ("not joined meanwhile", format!("{count} × {why}"))));
        facts
    }
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".into(), |seconds| format!("{seconds:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::hold::checks::{Check, Findings};
    use crate::simulate::hold::measured::{Kind, Measured};

    fn sample() -> HoldReport {
        let mut findings = Findings::default();
        findings.judge(Check::NumbersUnique, false, || "number <7> twice".into());
        let mut measured = Measured::default();
        measured.took(Kind::PushAll, 5_000);
        HoldReport {
            room: "demo".into(),
            refused: [("503 with Retry-After".to_string(), 4)].into(),
            storm: Some(StormReport {
                dropped: 9,
                seconds_until_all_back: Some(2.5),
                ..StormReport::default()
            }),
            latencies: measured.report(),
            rules: findings.report(),
            rules_broken: findings.broken(),
            ..HoldReport::default()
        }
    }

    #[test]
    fn the_text_says_what_broke_and_how_the_storm_went() {
        let text = sample().text();
        for part in
            ["BROKEN: number <7> twice", "4 × 503 with Retry-After", "all in place after 2.5 s", "not seen"]
        {
            assert!(text.contains(part), "{part:?} not in {text}");
        }
        assert!(text.ends_with("RULES BROKEN: 1 times.\n"), "{text}");
    }

    #[test]
    fn the_page_and_the_data_say_the_same() {
        let html = page(&sample());
        assert!(html.starts_with("<!doctype html>") && html.contains("number &lt;7&gt; twice"), "{html}");
        let data = serde_json::to_value(sample()).unwrap();
        assert_eq!(data["storm"]["dropped"], 9);
        assert_eq!(data["latencies"][0]["name"], "push_all");
    }
}
