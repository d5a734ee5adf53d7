//! Rooms on a Redis Cluster: each wholly on one of its nodes, and found there by everybody.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kernel::contract::model::agrees_with_the_kernel;
use kernel::contract::story::Story;
use kernel::contract::{T0, policy};
use kernel::ports::{Leases, Presence, RoomStore};
use redis::aio::MultiplexedConnection;
use redis_scene::{Scene, joined, room, within};
use tempfile::TempDir;

const SLOTS: u16 = 16_384;

struct Node {
    server: Child,
    port: u16,
    _directory: TempDir,
}

impl Node {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Bound and closed again. The bus of a node listens 10,000 above its port.
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = std::iter::repeat_with(free).find(|port| *port < 55_000).unwrap();
        let mut server = Command::new("redis-server");
        server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-enabled", "yes"]);
        server.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]).arg("--dir");
        let server = server.arg(directory.path()).stdout(Stdio::null()).spawn();
        Self {
            server: server.expect("redis-server is installed by `cargo xtask services start`"),
            port,
            _directory: directory,
        }
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let answers = async {
            loop {
                match client.get_multiplexed_async_connection().await {
                    Ok(connection) => break connection,
                    // sleep: the interval of a poll under a deadline
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        within("the node answers", answers).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

async fn cluster() -> Vec<Node> {
    let nodes: Vec<_> = (0..3).map(|_| Node::start()).collect();
    let share = SLOTS / 3 + 1;
    for (first, node) in (0..SLOTS).step_by(share.into()).zip(&nodes) {
        let mut connection = node.connection().await;
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("ADDSLOTSRANGE").arg(first).arg((first + share - 1).min(SLOTS - 1));
        let _: () = slots.query_async(&mut connection).await.unwrap();
        let mut meet = redis::cmd("CLUSTER");
        let _: () =
            meet.arg("MEET").arg("127.0.0.1").arg(nodes[0].port).query_async(&mut connection).await.unwrap();
    }
    for node in &nodes {
        let mut connection = node.connection().await;
        let together = async {
            loop {
                let info: String =
                    redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.unwrap();
                if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") {
                    break;
                }
                // sleep: the interval of a poll under a deadline
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within("the cluster is one", together).await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_live_on_a_cluster() {
    let nodes = cluster().await;
    let scene = Scene::on(&format!("redis+cluster://127.0.0.1:{}", nodes[0].port)).await;
    let other = format!("redis+cluster://127.0.0.1:{}", nodes[2].port);
    let (one, two) = (scene.process().await, scene.process_by(&other).await);
    let _relay = scene.relay(&two);
    for name in 0..12 {
        let hall = room(&format!("hall-{name}"));
        one.configure(&hall, &policy(0), None, T0).await.unwrap();
        assert_eq!(joined(&two, &hall, 2).await, [1, 2]);
        assert_eq!(joined(&one, &hall, 1).await, [3]);
        one.report("a", &hall, [name].into_iter().collect(), 60, T0).await.unwrap();
        assert_eq!(two.present(&hall, T0).await.unwrap().into_iter().collect::<Vec<_>>(), [name]);
        within("the room is relayed", Story::of(&hall, &scene.log).await.through(3)).await;
        assert_eq!(two.rebuild(&hall, T0).await.unwrap().through_seq, 3);
        let fresh = scene.process_by(&other).await;
        assert_eq!(fresh.snapshot(&hall).await.unwrap(), one.snapshot(&hall).await.unwrap());
    }
    assert!(one.hold("work", "one", 60).await.unwrap());
    assert!(!two.hold("work", "two", 60).await.unwrap());
    for seed in 0..6 {
        agrees_with_the_kernel(Arc::new(one.clone()), seed).await;
    }
    let mut used = 0;
    for node in &nodes {
        let keys: u64 = redis::cmd("DBSIZE").query_async(&mut node.connection().await).await.unwrap();
        used += u64::from(keys > 0);
    }
    assert_eq!(used, 3, "rooms lie on all nodes");
}
