//! A hundred thousand on their channels while the line moves a thousand a second: how late a tick is, whether the
//! memory stays; then all of them cut off at once. `HUNDRED_THOUSAND_VISITORS` and `HUNDRED_THOUSAND_SECONDS`
//! say other figures, and `HUNDRED_THOUSAND_STORM` as 0 leaves the cutting out. With so many that the machine cannot
//! tell everybody every few seconds, `TURNLINE_PUSHES_PER_SECOND` says how many figures a core of a process sends.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::figures::{number, rounded};
use crate::stage::{self, Stage, Witness};

const VISITORS: (&str, u32) = ("HUNDRED_THOUSAND_VISITORS", 100_000);
const HOLD_SECONDS: (&str, u32) = ("HUNDRED_THOUSAND_SECONDS", 600);
const STORM: (&str, u32) = ("HUNDRED_THOUSAND_STORM", 1);
/// [`Stage`] passes on what is set; where nothing is, the product's own bound is far above what is sent here.
const PUSHES: (&str, u32) = (stage::PUSHES_PER_SECOND, u32::MAX);
const SETTLE_LEAST_SECONDS: u64 = 15;
const A_SECOND: u64 = 1_000;
/// How long the line has to move beside the holding, gathering, twice, and the storm: so long, or so many
/// visitors a second if that is longer.
const BESIDE_SECONDS: u64 = 900;
const GATHERED_A_SECOND: u64 = 500;
const STORM_HOLD: Duration = Duration::from_secs(60);
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// A crowd as large as this gathers while the line stands still: telling those who are there what changes takes the
/// machine that the others need to come.
const STANDING_FROM: u32 = 200_000;
const ROOM: &str = "crowd";

/// Memory as of one moment.
struct Sample {
    seconds: f64,
    a_process: Vec<u64>,
    witness: u64,
}

pub async fn measure() -> anyhow::Result<Value> {
    let (visitors, hold) = (number(VISITORS)?, Duration::from_secs(number(HOLD_SECONDS)?.into()));
    let processes = Stage::processes_for(visitors)?;
    let stage = Stage::start((1, processes), None).await?;
    let beside = BESIDE_SECONDS.max(u64::from(visitors) / GATHERED_A_SECOND);
    let front = A_SECOND * (hold.as_secs() + beside);
    eprintln!("{processes} channel processes; {front} in front");
    stage.room(ROOM, A_SECOND * 60, front).await?;
    let witness = stage.witness(ROOM).await;
    let settle = settle_seconds(visitors, processes)?.to_string();
    let held = held(&stage, &witness, visitors, hold, &settle).await?;
    let storm = match number(STORM)? {
        0 => Value::Null,
        _ => storm(&stage, visitors, &settle).await?,
    };
    Ok(json!({
        "how": format!("{visitors} channels on {processes} processes of one room, {A_SECOND} admitted a second, {} s; then, with a new crowd, all cut at once", hold.as_secs()),
        "visitors": visitors, "processes": processes, "held": held, "storm": storm,
    }))
}

/// How old a figure may be at the end: twice as long as the allowed pushes take to tell everybody, and a while.
fn settle_seconds(visitors: u32, processes: u32) -> anyhow::Result<u64> {
    let a_core = u64::from(number(PUSHES)?).max(1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    Ok(2 * u64::from(visitors) / (a_core * cores * u64::from(processes)) + SETTLE_LEAST_SECONDS)
}

async fn storm(stage: &Stage, visitors: u32, settle: &str) -> anyhow::Result<Value> {
    let mut crowd = stage.send(ROOM, visitors, STORM_HOLD, &["--storm", "--settle-seconds", settle])?;
    crowd.until_holding().await?;
    let report = crowd.ends().await?;
    eprintln!("storm: {}", report["storm"]);
    Ok(report)
}

async fn held(
    stage: &Stage,
    witness: &Witness,
    visitors: u32,
    hold: Duration,
    settle: &str,
) -> anyhow::Result<Value> {
    let gathers_standing = visitors >= STANDING_FROM;
    if gathers_standing {
        stage.door().tell(ROOM, "pause").await;
    }
    let mut crowd = stage.send(ROOM, visitors, hold, &["--settle-seconds", settle])?;
    crowd.until_holding().await?;
    if gathers_standing {
        stage.door().tell(ROOM, "resume").await;
    }
    let (began, cost) = (Instant::now(), stage.cost()?);
    let (mut samples, mut spent) = (Vec::new(), (cost, Duration::ZERO));
    let pushes = stage.figure("turnline_channel_pushes_total").await;
    let mut pushed = pushes;
    while crowd.is_holding()? && began.elapsed() < hold {
        let (seconds, a_process) = (began.elapsed().as_secs_f64(), stage.memory()?);
        samples.push(Sample { seconds, a_process, witness: witness.memory()? });
        spent = (stage.cost()?, began.elapsed());
        pushed = stage.figure("turnline_channel_pushes_total").await;
        // sleep: the interval between two samples
        tokio::time::sleep(SAMPLE_EVERY.min(hold / 10)).await;
    }
    let report = crowd.ends().await?;
    ensure!(samples.len() > 1, "the crowd was held too shortly to be looked at");
    let (cost, seconds) = (spent.0.since(&cost), spent.1.as_secs_f64());
    let cores = |time: Duration| rounded(time.as_secs_f64() / seconds, 1e2);
    let measured = json!({
        "tick": stage::latency(&report, "push_all"),
        "figure_age": stage::latency(&report, "figure_age"),
        "memory": memory(&samples, visitors),
        "cores": {
            "client_channel": cores(cost.client_channel), "waiting_queue": cores(cost.waiting_queue),
            "others": cores(cost.others),
        },
        "cpu_us_a_push": rounded(cost.client_channel.as_secs_f64() * 1e6 / (pushed - pushes), 1e2),
        "report": report,
    });
    eprintln!("tick: {}; memory: {}", measured["tick"], measured["memory"]);
    Ok(measured)
}

/// At the start, at the end, and the most; what the witness grew by is the room's, whatever the sockets.
fn memory(samples: &[Sample], visitors: u32) -> Value {
    let all = |sample: &Sample| sample.a_process.iter().sum::<u64>();
    let megabytes = |bytes: u64| rounded(bytes as f64 / 1e6, 10.0);
    let [Some(first), Some(last)] = [samples.first(), samples.last()] else { return Value::Null };
    let of =
        |sample: &Sample| -> Vec<f64> { sample.a_process.iter().map(|bytes| megabytes(*bytes)).collect() };
    let course: Vec<Value> = samples
        .iter()
        .map(|sample| json!([sample.seconds.round(), megabytes(all(sample)), megabytes(sample.witness)]))
        .collect();
    let own = |sample: &Sample| {
        let without = all(sample).saturating_sub(sample.witness * sample.a_process.len() as u64);
        rounded(without as f64 / f64::from(visitors), 1.0)
    };
    json!({
        "start_mb": megabytes(all(first)), "end_mb": megabytes(all(last)),
        "most_mb": samples.iter().map(all).max().map(megabytes),
        "start_mb_a_process": of(first), "end_mb_a_process": of(last),
        "witness_start_mb": megabytes(first.witness), "witness_end_mb": megabytes(last.witness),
        "bytes_a_socket_beside_the_room_start": own(first), "bytes_a_socket_beside_the_room_end": own(last),
        "course_seconds_mb_witness_mb": course,
    })
}

pub fn markdown(measured: &Value) -> String {
    let (held, storm) = (&measured["held"], &measured["storm"]["storm"]);
    let memory = &held["memory"];
    let tick = |name: &str| held["tick"][name].as_f64().unwrap_or_default();
    let rows = [
        ("visitors on channels, processes", format!("{}, {}", measured["visitors"], measured["processes"])),
        (
            "all told within a tick, p50/p99/max",
            format!("{:.0}/{:.0}/{:.0} ms", tick("p50_ms"), tick("p99_ms"), tick("max_ms")),
        ),
        ("messages a second", held["report"]["traffic"]["messages_per_second"].to_string()),
        ("CPU a push", format!("{} µs", held["cpu_us_a_push"])),
        (
            "cores: channels, waiting queue, others",
            format!(
                "{}, {}, {}",
                held["cores"]["client_channel"], held["cores"]["waiting_queue"], held["cores"]["others"]
            ),
        ),
        (
            "memory of the channel processes, start → end",
            format!("{} → {} MB", memory["start_mb"], memory["end_mb"]),
        ),
        (
            "of it a process with one socket",
            format!("{} → {} MB", memory["witness_start_mb"], memory["witness_end_mb"]),
        ),
        (
            "a socket, beside the room's own, start → end",
            format!(
                "{} → {} B",
                memory["bytes_a_socket_beside_the_room_start"], memory["bytes_a_socket_beside_the_room_end"]
            ),
        ),
        (
            "rules broken",
            format!("{}, {} in the storm", held["report"]["rules_broken"], measured["storm"]["rules_broken"]),
        ),
        (
            "cut at once, all back in place after",
            format!("{} sockets, {} s", storm["dropped"], storm["seconds_until_all_back"]),
        ),
        (
            "joins meanwhile, p99",
            format!(
                "{} ms",
                stage::latency(&measured["storm"], "extra_join_storm")
                    .map_or(&Value::Null, |join| &join["p99_ms"])
            ),
        ),
    ];
    let rows: String = rows.iter().map(|(what, figure)| format!("| {what} | {figure} |\n")).collect();
    format!("| | |\n| --- | --- |\n{rows}")
}
