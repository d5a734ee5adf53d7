//! The measurement as a table of `BENCHMARKS.md`.

use std::fmt::Write as _;

use serde_json::Value;

pub fn markdown(measured: &Value) -> String {
    let mut table = format!(
        "{} sockets.\n\n| server | user memory an idle socket | CPU a push | to `raw` | all told within a tick, p50/p99/max | pushes a core and second |\n| --- | --- | --- | --- | --- | --- |\n",
        measured["sockets"]
    );
    for row in measured["rows"].as_array().into_iter().flatten() {
        let of = |name: &str| row["medians"][name].as_f64().unwrap_or_default();
        let ratios: Vec<String> =
            row["ratios"].as_array().into_iter().flatten().map(Value::to_string).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {:.2} µs | **{}** ({}) | {:.0}/{:.0}/{:.0} ms | {:.0} |",
            row["what"].as_str().unwrap_or_default(),
            bytes(of("memory_bytes_a_socket")),
            of("cpu_us_a_push"),
            row["ratio_to_raw"],
            ratios.join(", "),
            of("told_p50_ms"),
            of("told_p99_ms"),
            of("told_max_ms"),
            of("pushes_a_core_second")
        );
    }
    for (server, why) in measured["left_out"].as_object().into_iter().flatten() {
        let _ = writeln!(table, "\n{server} was left out: {}.", why.as_str().unwrap_or_default());
    }
    table
}

fn bytes(count: f64) -> String {
    if count < 1000.0 { format!("{count:.0} B") } else { format!("{:.1} KB", count / 1000.0) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_a_server() {
        let medians = json!({
            "memory_bytes_a_socket": 3_100.0, "cpu_us_a_push": 7.004, "told_p50_ms": 40.0, "told_p99_ms": 78.4,
            "told_max_ms": 80.0, "pushes_a_core_second": 142_800.0,
        });
        let row = json!({ "what": "ours", "medians": medians, "ratio_to_raw": 1.52, "ratios": [1.5, 1.52] });
        let measured =
            json!({ "sockets": 15_000, "rows": [row], "left_out": { "node-ws": "node is missing" } });
        let table = markdown(&measured);
        assert!(
            table.contains("| ours | 3.1 KB | 7.00 µs | **1.52** (1.5, 1.52) | 40/78/80 ms | 142800 |"),
            "{table}"
        );
        assert!(table.ends_with("\nnode-ws was left out: node is missing.\n"), "{table}");
    }
}
