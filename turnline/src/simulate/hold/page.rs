//! The report of a held crowd as one self-contained page.

use std::fmt::Write;

use super::report::HoldReport;
use crate::simulate::report_page::{STYLE, escaped, write_rule_table};

/// The page; everything that came from outside is escaped.
pub fn page(report: &HoldReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_head(report, &mut out);
    let _ = write_latencies(report, &mut out);
    let _ = write_rule_table(&report.rules, &report.remarks, &mut out);
    out.push_str("</html>\n");
    out
}

fn write_head(report: &HoldReport, out: &mut String) -> std::fmt::Result {
    let class = if report.ok { "good" } else { "bad" };
    writeln!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Turnline simulation</title><style>{STYLE}</style>\
         <h1>{} visitors held in room {}</h1><p class=\"{class}\">{}</p><table>",
        report.visitors,
        escaped(&report.room),
        escaped(&report.verdict()),
    )?;
    for (name, value) in report.facts() {
        writeln!(out, "<tr><td>{name}<td>{}", escaped(&value))?;
    }
    writeln!(out, "</table>")
}

fn write_latencies(report: &HoldReport, out: &mut String) -> std::fmt::Result {
    let titles = ["count", "p50", "p90", "p99", "max"].map(|title| format!("<th class=n>{title}")).concat();
    writeln!(out, "<h2>Latencies</h2><table><tr><th>milliseconds{titles}")?;
    for latency in &report.latencies {
        let q = &latency.quantiles;
        write!(out, "<tr><td>{}<br><small>{}</small>", latency.name, escaped(latency.meaning))?;
        write!(out, "<td class=n>{}", q.count)?;
        for value in [q.p50_ms, q.p90_ms, q.p99_ms, q.max_ms] {
            write!(out, "<td class=n>{value:.1}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "</table>")
}
