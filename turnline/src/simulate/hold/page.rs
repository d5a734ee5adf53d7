//! The report of a held crowd as one self-contained page.

use std::fmt::Write;

use super::report::HoldReport;
use crate::simulate::report_page::{escaped, write_latency_table, write_rule_table, write_top};

/// The page; everything that came from outside is escaped.
pub fn page(report: &HoldReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_head(report, &mut out);
    let _ = write_latency_table(&report.latencies, &mut out);
    let _ = write_rule_table(&report.rules, &report.remarks, &mut out);
    out.push_str("</html>\n");
    out
}

fn write_head(report: &HoldReport, out: &mut String) -> std::fmt::Result {
    let title = format!("{} visitors held in room {}", report.visitors, report.room);
    write_top(&title, report.ok, &report.verdict(), out)?;
    writeln!(out, "<table>")?;
    for (name, value) in report.facts() {
        writeln!(out, "<tr><td>{name}<td>{}", escaped(&value))?;
    }
    writeln!(out, "</table>")
}
