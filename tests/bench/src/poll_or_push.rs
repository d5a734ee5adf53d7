//! The same crowd told by its channels, and asking every one, three or five seconds: what a visitor costs in a
//! minute. `POLL_OR_PUSH_LEAST` and `POLL_OR_PUSH_MOST` leave out smaller and larger crowds, `POLL_OR_PUSH_SECONDS` says
//! how long each is watched.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::figures::{number, rounded};
use crate::stage::{self, Cost, Stage};

const LEAST: (&str, u32) = ("POLL_OR_PUSH_LEAST", 1_000);
const MOST: (&str, u32) = ("POLL_OR_PUSH_MOST", 100_000);
const SECONDS: (&str, u32) = ("POLL_OR_PUSH_SECONDS", 30);
const VISITORS: [u32; 3] = [1_000, 10_000, 100_000];
const FRONT: u64 = 10_000;
const ADMIT_PER_MINUTE: u64 = 60;
/// Around the watched time, in which the crowd must be there.
const MARGIN: Duration = Duration::from_secs(15);
const SETTLE: Duration = Duration::from_secs(5);

/// How visitors hear of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The far end of the line at every tick too.
    PushEveryTick,
    Push,
    Poll {
        every: u32,
    },
}

const EVERY_TICK: [Way; 1] = [Way::PushEveryTick];
const AS_IT_COMES: [Way; 4] =
    [Way::Push, Way::Poll { every: 5 }, Way::Poll { every: 3 }, Way::Poll { every: 1 }];

pub async fn measure() -> anyhow::Result<Value> {
    let (asked, watch) = (number(LEAST)?..=number(MOST)?, Duration::from_secs(number(SECONDS)?.into()));
    let mut cases = Vec::new();
    for visitors in VISITORS.into_iter().filter(|visitors| asked.contains(visitors)) {
        let processes = Stage::processes_for(visitors)?;
        for (ways, far_from) in [(&EVERY_TICK[..], Some(0)), (&AS_IT_COMES[..], None)] {
            let stage = Stage::start((processes, processes), far_from).await?;
            let nobody = with_nobody(&stage, watch).await?;
            for way in ways {
                let case = case(&stage, visitors, *way, watch, nobody).await?;
                eprintln!("{case}");
                cases.push(case);
            }
        }
    }
    Ok(json!({
        "how": format!("one room, {ADMIT_PER_MINUTE} admitted a minute, ticks of a second, {} s a case; processor time of all Turnline's processes; bytes of messages with frame headers, or of whole HTTP requests and answers, without TCP's and IP's", watch.as_secs()),
        "cases": cases,
    }))
}

/// Cores that all processes take for a line that moves and nobody who is told of it.
async fn with_nobody(stage: &Stage, watch: Duration) -> anyhow::Result<f64> {
    const ROOM: &str = "nobody";
    stage.room(ROOM, ADMIT_PER_MINUTE, FRONT).await?;
    let (cost, took) = watched(stage, watch).await?;
    stage.door().tell(ROOM, "pause").await;
    Ok(cost.all().as_secs_f64() / took.as_secs_f64())
}

/// What all processes cost in so long a time, once what came before is done; and how long it was.
async fn watched(stage: &Stage, watch: Duration) -> anyhow::Result<(Cost, Duration)> {
    // sleep: nothing tells that nothing is left to be done
    tokio::time::sleep(SETTLE).await;
    let (cost, began) = (stage.cost()?, Instant::now());
    // sleep: that is what is measured
    tokio::time::sleep(watch).await;
    Ok((stage.cost()?.since(&cost), began.elapsed()))
}

async fn case(stage: &Stage, visitors: u32, way: Way, watch: Duration, nobody: f64) -> anyhow::Result<Value> {
    let room = way.room();
    stage.room(&room, ADMIT_PER_MINUTE, FRONT).await?;
    let args = way.args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut crowd = stage.send(&room, visitors, watch + MARGIN, &args)?;
    crowd.until_holding().await?;
    let (cost, took) = watched(stage, watch).await?;
    anyhow::ensure!(crowd.is_holding()?, "the crowd was gone before the window ended");
    let report = crowd.ends().await?;
    // What goes on in it from here on would count in the next case.
    stage.door().tell(&room, "pause").await;
    let (minutes, traffic) = (took.as_secs_f64() / 60.0, &report["traffic"]);
    let a_visitor = |time: Duration| rounded(time.as_secs_f64() * 1e3 / minutes / f64::from(visitors), 1e3);
    let bytes = |name: &str| traffic[name].as_f64().map(f64::round);
    let cores = cost.all().as_secs_f64() / took.as_secs_f64();
    let wished = way.asks_a_second(visitors);
    Ok(json!({
        "visitors": visitors, "way": way.name(),
        "cpu_ms_a_visitor_a_minute": a_visitor(cost.all()),
        "of_it": {
            "waiting_queue": a_visitor(cost.waiting_queue), "client_channel": a_visitor(cost.client_channel),
            "others": a_visitor(cost.others),
        },
        "cores": rounded(cores, 1e3), "cores_with_nobody": rounded(nobody, 1e3),
        "cpu_ms_a_visitor_a_minute_beside_it": rounded((cores - nobody).max(0.0) * 6e4 / f64::from(visitors), 1e3),
        "bytes_in_a_visitor_a_minute": bytes("bytes_per_visitor_minute"),
        "bytes_out_a_visitor_a_minute": bytes("bytes_out_per_visitor_minute"),
        "messages_a_second": traffic["messages_per_second"],
        // Fewer came through than were meant to be asked: then a visitor would have cost more.
        "asks_a_second_wished": wished,
        "latency": stage::latency(&report, if wished.is_some() { "poll" } else { "push_all" }),
        "figure_age": stage::latency(&report, "figure_age"),
        "rules_broken": report["rules_broken"],
    }))
}

impl Way {
    fn name(self) -> String {
        match self {
            Self::PushEveryTick => "push, everybody every tick".to_owned(),
            Self::Push => "push, as it comes (the far end every few ticks)".to_owned(),
            Self::Poll { every } => format!("poll every {every} s"),
        }
    }

    /// A name of its own: a new line each time, with nobody of the case before in it.
    fn room(self) -> String {
        match self {
            Self::PushEveryTick | Self::Push => "push".to_owned(),
            Self::Poll { every } => format!("poll-{every}"),
        }
    }

    fn args(self) -> Vec<String> {
        match self {
            Self::PushEveryTick | Self::Push => Vec::new(),
            Self::Poll { every } => vec!["--poll".to_owned(), "--poll-every".to_owned(), every.to_string()],
        }
    }

    fn asks_a_second(self, visitors: u32) -> Option<u32> {
        match self {
            Self::PushEveryTick | Self::Push => None,
            Self::Poll { every } => Some(visitors / every),
        }
    }
}

pub fn markdown(measured: &Value) -> String {
    let mut table = String::from(
        "| visitors | told by | CPU a visitor a minute | of it beside what runs with nobody there | cores | bytes to/from a visitor a minute | messages or answers/s (wished) | p50/p99 |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for case in measured["cases"].as_array().into_iter().flatten() {
        let took = |name: &str| case["latency"][name].as_f64().unwrap_or_default();
        table.push_str(&format!(
            "| {} | {} | {} ms | {} ms | {} | {}/{} | {:.0} ({}) | {:.0}/{:.0} ms |\n",
            case["visitors"],
            case["way"].as_str().unwrap_or_default(),
            case["cpu_ms_a_visitor_a_minute"],
            case["cpu_ms_a_visitor_a_minute_beside_it"],
            case["cores"],
            case["bytes_in_a_visitor_a_minute"],
            case["bytes_out_a_visitor_a_minute"].as_f64().unwrap_or_default(),
            case["messages_a_second"].as_f64().unwrap_or_default(),
            case["asks_a_second_wished"].as_u64().map_or("-".to_owned(), |wished| wished.to_string()),
            took("p50_ms"),
            took("p99_ms")
        ));
    }
    table
}
