//! A crowd goes through while the server is killed and started again: in the rush of joins, and twice in
//! the sale. The simulator's visitors reconnect, and the simulator finds no broken rule.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use turnline_tests::{Crowd, Demo, Server};

const VISITORS: u64 = 1_000;

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed_in_the_middle_of_a_sale() {
    let mut server = Server::start(&["--demo", "--demo-capacity", "20", "--demo-seats", "2000"]).await;
    let demo = Demo::of(&server).await;
    let mut crowd = Crowd::send(&server, "demo", VISITORS, &["--buy", "--arrivals", "flash"]);
    crowd.until("100 have joined", async || server.waiting("demo").await >= 100).await;
    let joined = server.waiting("demo").await;
    kill_and_restart(&mut server, &mut crowd).await;
    for sold in [VISITORS / 5, VISITORS / 2] {
        crowd.until(&format!("{sold} seats are sold"), async || demo.sold(&server).await >= sold).await;
        kill_and_restart(&mut server, &mut crowd).await;
    }
    let said = crowd.ends_well().await.said;
    println!("killed first with {joined} waiting\n{said}");
    // Seen from the shop as well: a seat for everybody, and for nobody two.
    assert_eq!(demo.sold(&server).await, VISITORS, "{said}");
}

async fn kill_and_restart(server: &mut Server, crowd: &mut Crowd) {
    server.kill_9().await;
    crowd.is_still_there();
    server.restart().await;
}
