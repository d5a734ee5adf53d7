//! The report as one self-contained page.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{Latency, Report, RuleReport, mebibytes};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1b1b1b;background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{padding:.3rem .6rem;\
border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.n,th.n{text-align:right;\
font-variant-numeric:tabular-nums}.good{color:#0a6b2d}.bad{color:#a40000;font-weight:600}small{color:#555}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}th,td{border-color:#333}small{color:#aaa}\
.good{color:#6fd08c}.bad{color:#ff8a80}}";

/// The page; everything that came from outside is escaped.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_head(report, &mut out);
    let _ = write_figures(report, &mut out);
    let _ = write_rule_table(&report.rules, &report.remarks, &mut out);
    out.push_str("</html>\n");
    out
}

fn write_head(report: &Report, out: &mut String) -> std::fmt::Result {
    let title = format!("{} visitors in room {}", report.visitors, report.room);
    write_top(&title, report.ok, &report.verdict(), out)?;
    write!(
        out,
        "<p>{}, {}{}, at {}, {:.1} s, seed {}.</p>",
        escaped(&report.arrivals),
        report.medium,
        if report.buy { ", buying" } else { "" },
        escaped(&report.url),
        report.duration_seconds,
        report.seed,
    )?;
    let o = &report.outcomes;
    let counts = [
        ("joined", o.joined),
        ("paid", o.paid),
        ("gave the slot back", o.gave_back),
        ("found it sold out", o.sold_out),
        ("left while waiting", o.left),
        ("abandoned", o.abandoned),
        ("expired", o.expired),
        ("sent away by the operator", o.sent_away),
        ("failed", o.failed),
        ("unfinished", o.unfinished),
    ];
    writeln!(out, "<h2>Visitors</h2><table>")?;
    for (name, count) in counts {
        writeln!(out, "<tr><td>{name}<td class=n>{count}")?;
    }
    for (why, count) in &report.failures {
        writeln!(out, "<tr><td class=bad>{}<td class=n>{count}", escaped(why))?;
    }
    writeln!(out, "</table>")
}

fn write_figures(report: &Report, out: &mut String) -> std::fmt::Result {
    write_latency_table(&report.latencies, out)?;
    writeln!(
        out,
        "<p>{} · memory: server {}, simulator {}</p>",
        report.rates,
        mebibytes(report.memory.server_max_bytes),
        mebibytes(report.memory.simulator_max_bytes),
    )
}

/// The page's beginning, with the verdict.
pub fn write_top(title: &str, ok: bool, verdict: &str, out: &mut String) -> std::fmt::Result {
    let class = if ok { "good" } else { "bad" };
    writeln!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Turnline simulation</title><style>{STYLE}</style>\
         <h1>{}</h1><p class=\"{class}\">{}</p>",
        escaped(title),
        escaped(verdict),
    )
}

pub fn write_latency_table(latencies: &[Latency], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Latencies</h2><table><tr><th>milliseconds<th class=n>count<th class=n>p50<th class=n>p90\
         <th class=n>p99<th class=n>max"
    )?;
    for latency in latencies {
        let q = &latency.quantiles;
        writeln!(
            out,
            "<tr><td>{}<br><small>{}</small><td class=n>{}<td class=n>{:.1}<td class=n>{:.1}<td class=n>{:.1}\
             <td class=n>{:.1}",
            latency.name,
            escaped(latency.meaning),
            q.count,
            q.p50_ms,
            q.p90_ms,
            q.p99_ms,
            q.max_ms
        )?;
    }
    writeln!(out, "</table>")
}

/// The rules with what was found, and the remarks below.
pub fn write_rule_table(
    rules: &[RuleReport],
    remarks: &BTreeMap<String, u64>,
    out: &mut String,
) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Rules that never break</h2><table><tr><th>rule<th>check<th class=n>looked at<th class=n>broken"
    )?;
    for rule in rules {
        let class = if rule.broken == 0 { "n" } else { "n bad" };
        let seen = if rule.checked == 0 { "not seen".to_string() } else { rule.checked.to_string() };
        write!(out, "<tr><td>{}<td>{}", rule.rule, escaped(rule.meaning))?;
        for example in &rule.examples {
            write!(out, "<br><span class=bad>{}</span>", escaped(example))?;
        }
        writeln!(out, "<td class=n>{seen}<td class=\"{class}\">{}", rule.broken)?;
    }
    writeln!(out, "</table>")?;
    for (what, count) in remarks {
        writeln!(out, "<p><small>{} ({count} ×)</small></p>", escaped(what))?;
    }
    Ok(())
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
