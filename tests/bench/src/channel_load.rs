//! What a tick costs Redis and Kafka by how many sockets there are: the same processes each time, the same line.
//! `CHANNEL_LOAD_MOST` leaves out the cases above it.

use std::time::{Duration, Instant};

use kernel::words::RoomId;
use serde_json::{Value, json};

use crate::figures::{number, rounded};
use crate::redis_tick;
use crate::stage::Stage;
use crate::wire;

const MOST: (&str, u32) = ("CHANNEL_LOAD_MOST", 100_000);
const SOCKETS: [u32; 3] = [1_000, 10_000, 100_000];
const FRONT: u64 = 3_000;
const ADMIT_PER_MINUTE: u64 = 60;
const HOLD: Duration = Duration::from_secs(60);
/// After the last handshake: what it left to do is done.
const SETTLE: Duration = Duration::from_secs(5);
const ROOM: &str = "crowd";

pub async fn measure() -> anyhow::Result<Value> {
    let most = number(MOST)?;
    let processes = Stage::processes_for(most)?;
    let mut cases = Vec::new();
    for sockets in SOCKETS.into_iter().filter(|sockets| *sockets <= most) {
        let case = case(sockets, processes).await?;
        eprintln!("{sockets} sockets: {case}");
        cases.push(case);
    }
    Ok(json!({
        "how": format!("{processes} channel processes each time, one of each other service, one room, {ADMIT_PER_MINUTE} admitted a minute; a second of a window of about {} s, which is a tick. Redis: INFO commandstats. Kafka: events, as the rooms' own count, each a record; data segments of all connections to it, as the kernel counts them (a request or an answer is one at least)", 21),
        "processes": processes, "cases": cases,
    }))
}

async fn case(sockets: u32, processes: u32) -> anyhow::Result<Value> {
    // Servers of its own each time: a room of the case before would go on moving.
    let stage = Stage::start((1, processes), None).await?;
    stage.room(ROOM, ADMIT_PER_MINUTE, FRONT).await?;
    let mut crowd = stage.send(ROOM, sockets, HOLD, &[])?;
    crowd.until_holding().await?;
    // sleep: nothing tells that nothing is left to be done
    tokio::time::sleep(SETTLE).await;
    let (_, kafka) = stage.ports();
    let (before, cost, began) = (wire::to(kafka)?, stage.cost()?, Instant::now());
    let redis = redis_tick::watch(&stage.redis(), &RoomId::parse(ROOM)?).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (wire, cost) = (wire::between(&before, &wire::to(kafka)?), stage.cost()?.since(&cost));
    anyhow::ensure!(crowd.is_holding()?, "the crowd was gone before the window ended");
    let report = crowd.ends().await?;
    let a_tick = |count: u64| rounded(count as f64 / seconds, 10.0);
    Ok(json!({
        "sockets": sockets,
        "redis": redis,
        "kafka": {
            "segments_out": a_tick(wire.segments_out), "segments_in": a_tick(wire.segments_in),
            "bytes_out": a_tick(wire.bytes_out), "bytes_in": a_tick(wire.bytes_in),
        },
        "messages_a_second": report["traffic"]["messages_per_second"],
        "channel_cores": rounded(cost.client_channel.as_secs_f64() / seconds, 1e3),
    }))
}

pub fn markdown(measured: &Value) -> String {
    let mut table = String::from(
        "| sockets | messages/s to visitors | Redis commands a tick | bytes in/out | events a tick | Kafka segments out/in | bytes out/in |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for case in measured["cases"].as_array().into_iter().flatten() {
        let (redis, kafka) = (&case["redis"], &case["kafka"]);
        table.push_str(&format!(
            "| {} | {} | {} | {}/{} | {} | {}/{} | {}/{} |\n",
            case["sockets"],
            case["messages_a_second"],
            redis["commands"],
            redis["bytes_in"],
            redis["bytes_out"],
            redis["events"],
            kafka["segments_out"],
            kafka["segments_in"],
            kafka["bytes_out"],
            kafka["bytes_in"]
        ));
    }
    table
}
