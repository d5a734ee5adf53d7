//! Visitors that only wait, against the real thing: held, cut off all at once, and back in place; on one
//! process and on several, over channels and by asking.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use turnline_tests::{Crowd, Server};

const VISITORS: u64 = 300;

/// Checks that were looked at in a report that found none broken.
fn looked_at(report: &Value) -> Vec<&str> {
    let rules = report["rules"].as_array().unwrap().iter();
    rules
        .filter(|rule| rule["checked"].as_u64() > Some(0))
        .map(|rule| rule["check"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn all_are_back_in_place_after_a_storm() {
    let server = Server::start(&["--demo"]).await;
    let mut crowd = Crowd::send(&server, "demo", VISITORS, &["--hold", "6", "--storm"]);
    let verdict = crowd.ends_well().await;
    let (report, said) = (&verdict.report, &verdict.said);
    assert_eq!(report["storm"]["dropped"], VISITORS, "{said}");
    assert!(report["storm"]["seconds_until_all_back"].as_f64() > Some(0.0), "{said}");
    assert!(report["storm"]["extra_joins"].as_u64() > Some(50), "{said}");
    assert_eq!((&report["know_their_place"], &report["processes"]), (&VISITORS.into(), &1.into()), "{said}");
    assert_eq!(report["line"]["plain"], true, "{said}");
    let kept = report["simulator"]["kept_bytes_per_visitor"].as_f64().unwrap();
    assert!((100.0..=300.0).contains(&kept), "{said}");
    let looked_at = looked_at(report);
    for check in ["numbers_unique", "number_kept", "position_never_grows", "figures_agree", "figures_fresh"] {
        assert!(looked_at.contains(&check), "{check} was not looked at:\n{said}");
    }
    let numbers = report["rules"].as_array().unwrap().iter().find(|rule| rule["check"] == "numbers_unique");
    let extra = report["storm"]["extra_joins"].as_u64().unwrap();
    assert_eq!(numbers.unwrap()["checked"], VISITORS + extra, "{said}");
}

#[tokio::test]
async fn several_processes_hold_one_crowd() {
    let server = Server::start(&["--demo"]).await;
    let several = ["--hold", "3", "--storm", "--visitors-a-process", "130"];
    let verdict = Crowd::send(&server, "demo", VISITORS, &several).ends_well().await;
    let (report, said) = (&verdict.report, &verdict.said);
    assert_eq!(report["processes"], 3, "{said}");
    assert_eq!((&report["joined"], &report["sockets_most"]), (&VISITORS.into(), &VISITORS.into()), "{said}");
    assert_eq!(report["storm"]["dropped"], VISITORS, "{said}");
    let join = report["latencies"].as_array().unwrap().iter().find(|latency| latency["name"] == "join");
    assert_eq!(join.unwrap()["count"], VISITORS, "{said}");
}

#[tokio::test]
async fn who_asks_hears_the_same() {
    let server = Server::start(&["--demo"]).await;
    let asking = ["--hold", "4", "--poll", "--poll-every", "1"];
    let verdict = Crowd::send(&server, "demo", VISITORS, &asking).ends_well().await;
    let (report, said) = (&verdict.report, &verdict.said);
    let asked = report["traffic"]["messages_per_visitor_minute"].as_f64().unwrap();
    // Once a second, on a machine that may be busy.
    assert!((20.0..=66.0).contains(&asked), "{said}");
    assert!(report["traffic"]["bytes_out_per_visitor_minute"].as_f64() > Some(0.0), "{said}");
    assert_eq!((&report["sockets_most"], &report["medium"]), (&0.into(), &"poll".into()), "{said}");
    assert!(looked_at(report).contains(&"figures_agree"), "{said}");
}
