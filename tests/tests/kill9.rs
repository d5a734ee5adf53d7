//! A crowd goes through while the server is killed and started again: in the rush of joins, and twice in
//! the sale. The simulator's visitors reconnect, and the simulator finds no broken rule.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;
use turnline_tests::{Demo, Server, eventually};

const VISITORS: u64 = 1_000;
/// A run takes well under a minute; this is for a slow and busy machine.
const RUN_DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed_in_the_middle_of_a_sale() {
    let mut server = Server::start(&["--demo", "--demo-capacity", "20", "--demo-seats", "2000"]).await;
    let demo = Demo::of(&server).await;
    let mut crowd = Crowd::send(&server);
    crowd.until("100 have joined", async || waiting(&server).await >= 100).await;
    let joined = waiting(&server).await;
    kill_and_restart(&mut server, &mut crowd).await;
    for sold in [VISITORS / 5, VISITORS / 2] {
        crowd.until(&format!("{sold} seats are sold"), async || demo.sold(&server).await >= sold).await;
        kill_and_restart(&mut server, &mut crowd).await;
    }
    let said = crowd.ends_well().await;
    println!("killed first with {joined} waiting\n{said}");
    // Seen from the shop as well: a seat for everybody, and for nobody two.
    assert_eq!(demo.sold(&server).await, VISITORS, "{said}");
}

async fn kill_and_restart(server: &mut Server, crowd: &mut Crowd) {
    server.kill_9().await;
    crowd.is_still_there();
    server.restart().await;
}

async fn waiting(server: &Server) -> u64 {
    let room = server.get("/v1/rooms/demo").send().await.expect(200);
    u64::try_from(room.number_of("waiting")).expect("a count")
}

/// `turnline simulate` as a process of its own.
struct Crowd {
    process: Child,
    log: PathBuf,
    report: PathBuf,
}

impl Crowd {
    fn send(server: &Server) -> Crowd {
        let log = server.data_dir().with_file_name("crowd.log");
        let report = server.data_dir().with_file_name("report.json");
        let mut command = server.command();
        command.args(["simulate", "--url", &server.url(), "--room", "demo", "--buy", "--arrivals", "flash"]);
        command.args(["--visitors", &VISITORS.to_string()]).arg("--report").arg(&report);
        let out = File::create(&log).expect("to make the crowd's log");
        let errors = out.try_clone().expect("a second handle of the log");
        let process = command.stdout(out).stderr(errors).spawn().expect("the simulator starts");
        Crowd { process, log, report }
    }

    /// Waits until it is so, while the crowd is under way.
    async fn until(&mut self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        eventually(what, RUN_DEADLINE, async || {
            self.is_still_there();
            so().await.then_some(())
        })
        .await;
    }

    fn is_still_there(&mut self) {
        let ended = self.process.try_wait().expect("to look at the simulator");
        assert!(ended.is_none(), "the simulator ended early with {ended:?}:\n{}", text(&self.log));
    }

    /// Waits for the end, without a broken rule; what the simulator said.
    async fn ends_well(&mut self) -> String {
        let ended = tokio::time::timeout(RUN_DEADLINE, self.process.wait()).await;
        let said = text(&self.log);
        let Ok(Ok(status)) = ended else { panic!("the simulation did not end:\n{said}") };
        assert!(status.success(), "a rule was broken, or the run failed ({status}):\n{said}");
        let report = text(&self.report);
        assert!(serde_json::from_str::<Value>(&report).is_ok_and(|report| report.is_object()), "{report}");
        said
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
