//! A crowd goes through while the server is killed and started again, more than once: the simulator's
//! visitors reconnect, and the simulator finds no broken rule.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;
use turnline_tests::{Demo, Server, eventually};

const VISITORS: u64 = 1_000;
const KILLS: u64 = 3;
/// A run takes well under a minute; this is for a slow and busy machine.
const RUN_DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed_in_the_middle_of_a_sale() {
    let mut server = Server::start(&["--demo", "--demo-capacity", "20", "--demo-seats", "2000"]).await;
    let demo = Demo::of(&server).await;
    let report = server.data_dir().with_file_name("report.json");
    let mut crowd = simulate(&server, &report);
    for kill in 1..=KILLS {
        // Spread over the run: joining, buying, the tail.
        sold_at_least(&server, &demo, &mut crowd, kill * VISITORS / (KILLS + 2)).await;
        server.kill_9().await;
        assert!(
            crowd.try_wait().expect("to look at it").is_none(),
            "the crowd was through before kill {kill}"
        );
        server.restart().await;
    }
    let output = tokio::time::timeout(RUN_DEADLINE, crowd.wait_with_output()).await;
    let output = output.expect("the simulation ends in time").expect("to wait for it");
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "a rule was broken, or the run failed ({}):\n{said}", output.status);
    let report = std::fs::read_to_string(&report).expect("the report");
    assert!(serde_json::from_str::<Value>(&report).is_ok_and(|report| report.is_object()), "{report}");
    // Seen from the shop as well: a seat for everybody, and for nobody two.
    assert_eq!(sold(&server, &demo).await, VISITORS, "{said}");
}

fn simulate(server: &Server, report: &std::path::Path) -> Child {
    let mut command = server.command();
    command.args(["simulate", "--url", &server.url(), "--room", "demo", "--visitors", &VISITORS.to_string()]);
    command.args(["--arrivals", "flash", "--buy", "--seed", "9"]).arg("--report").arg(report);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the simulator starts")
}

/// Waits until so many seats are sold, with an eye on the crowd.
async fn sold_at_least(server: &Server, demo: &Demo, crowd: &mut Child, seats: u64) {
    eventually(&format!("{seats} seats are sold"), RUN_DEADLINE, async || {
        let ended = crowd.try_wait().expect("to look at it");
        assert!(ended.is_none(), "the simulator ended early with {ended:?}");
        (sold(server, demo).await >= seats).then_some(())
    })
    .await;
}

async fn sold(server: &Server, demo: &Demo) -> u64 {
    demo.list(server).await.iter().filter(|seat| seat["state"] == "sold").map(|_| 1).sum()
}
