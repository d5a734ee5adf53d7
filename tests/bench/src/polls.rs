//! Answers of the polling fallback a second, for a crowd whose line moves, against the bare handler: in turns, on
//! the same machine in the same run. And what the crowd's polls cost Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use turnline_tests::{Server, Site};

use crate::servers::{Redis, Servers};
use crate::wrk::{self, CONNECTIONS, Run, SECONDS};
use crate::{bare, figures};

const ROUNDS: usize = 5;
const WAITING: u64 = 100_000;
/// Of those who wait, so many poll: every tenth. Nobody of the first tenth: they are called meanwhile.
const EVERY: u64 = 10;
const CALLED_MOST: u64 = WAITING / 10;
/// Slots free at this rate, so that the line moves.
const CALLED_PER_MINUTE: u64 = 600;
const JOINING_AT_ONCE: u64 = 64;
/// How long Redis is watched while nobody polls.
const IDLE: Duration = Duration::from_secs(6);
const PATH: &str = "/v1/rooms/polls/tickets/me";

/// One process, embedded; and one on servers.
pub async fn measure() -> anyhow::Result<Value> {
    let embedded = {
        let server = Server::start(&[]).await;
        Crowd::gather(&server).await?.poll(None).await?
    };
    let servers = Servers::start()?;
    let flags = servers.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Server::start(&flags).await;
    let on_servers = Crowd::gather(&server).await?.poll(Some(&servers.redis())).await?;
    Ok(json!({
        "how": format!("wrk, 1 thread, {CONNECTIONS} connections, {SECONDS} s a run, {ROUNDS} rounds in turns, medians; {} tickets among {WAITING} who wait, {CALLED_PER_MINUTE} of whom are called a minute; one process, all services", (WAITING - CALLED_MOST) / EVERY),
        "embedded": embedded, "on_servers": on_servers,
    }))
}

/// Those who wait in one room of one Turnline.
struct Crowd {
    url: String,
    tickets: Vec<String>,
}

impl Crowd {
    async fn gather(site: &Site) -> anyhow::Result<Self> {
        let policy = json!({ "capacity": WAITING, "admit_per_minute": CALLED_PER_MINUTE,
            "active_seconds": 86_400, "max_session_seconds": 86_400, "claim_seconds": 86_400, "grace_seconds": 86_400 });
        site.room("polls", &policy).await;
        eprintln!("{WAITING} join");
        let mut joining = JoinSet::new();
        for _ in 0..JOINING_AT_ONCE {
            let site = site.clone();
            joining.spawn(async move {
                let mut joined = Vec::new();
                for _ in 0..WAITING / JOINING_AT_ONCE {
                    let visitor = site.join("polls").await;
                    joined.push((visitor.number, visitor.ticket));
                }
                joined
            });
        }
        let joined: BTreeSet<(i64, String)> = joining.join_all().await.into_iter().flatten().collect();
        let late = joined.into_iter().skip(usize::try_from(CALLED_MOST)?).step_by(usize::try_from(EVERY)?);
        let tickets: Vec<String> = late.map(|(_, ticket)| ticket).collect();
        let asked = tickets.get(tickets.len() / 2).context("somebody joined")?;
        let answer = site.get(PATH).bearer(asked).send().await.expect(200);
        ensure!(answer.json["state"] == "waiting", "{}", answer.text);
        Ok(Self { url: site.url(), tickets })
    }

    async fn poll(&self, redis: Option<&Redis>) -> anyhow::Result<Value> {
        let (mut bare, floor) = bare::start().await?;
        let idle = match redis {
            // sleep: what is done while nothing is asked shows in time alone
            Some(redis) => Some(commands(redis, idle()).await?.0),
            None => None,
        };
        let (mut floors, mut polls, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            floors.push(wrk::polls(floor.clone(), PATH, &self.tickets).await?);
            let poll = wrk::polls(self.url.clone(), PATH, &self.tickets);
            let run = match redis {
                Some(redis) => {
                    let (rate, run) = commands(redis, poll).await?;
                    asked.push(rate);
                    run
                }
                None => poll.await?,
            };
            polls.push(run);
            let (bare, poll): (&Run, &Run) = (&floors[round - 1], &polls[round - 1]);
            eprintln!(
                "round {round}: bare {:.0}/s, polls {:.0}/s",
                bare.requests_per_second, poll.requests_per_second
            );
        }
        bare.kill().await.context("the bare handler does not end")?;
        Ok(json!({
            "ratio": ratio(&polls, &floors),
            "bare_axum": wrk::middle(&floors), "polls": wrk::middle(&polls),
            "redis_commands_a_second": redis.map(|_| json!({ "nobody_polls": idle, "all_poll": figures::median(&asked) })),
            "rounds": { "bare_axum": floors, "polls": polls },
        }))
    }
}

/// What Redis did in each second meanwhile.
async fn commands<T>(
    redis: &Redis,
    meanwhile: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(f64, T)> {
    let sum = async || {
        let counted = redis.counted().await?;
        anyhow::Ok(counted.commands.values().map(|(calls, _)| calls).sum::<u64>())
    };
    let (before, began) = (sum().await?, std::time::Instant::now());
    let done = meanwhile.await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok((figures::rounded((sum().await? - before) as f64 / seconds, 1.0), done))
}

fn ratio(runs: &[Run], floors: &[Run]) -> f64 {
    let rates = |runs: &[Run]| runs.iter().map(|run| run.requests_per_second).collect::<Vec<_>>();
    figures::ratio(&rates(runs), &rates(floors))
}

/// What is there without anybody polling.
async fn idle() -> anyhow::Result<()> {
    // sleep: the interval that is measured
    tokio::time::sleep(IDLE).await;
    Ok(())
}
