//! One process of a run: joins its part of the crowd, holds their channels, and does as it is told.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::asking;
use super::checks::Findings;
use super::clock::{self, Micros};
use super::driver::{Driver, Wish};
use super::ear::Ear;
use super::measured::{Kind, Measured};
use super::protocol::{Done, Order, Share, Told};
use crate::simulate::args::SimulateArgs;
use crate::simulate::arrivals::Arrivals;
use crate::simulate::chance::{Chance, random_key};
use crate::simulate::http::{Api, Call};
use crate::simulate::message::Joined;

const PULSE: Duration = Duration::from_millis(250);

/// What joining brought, for all visitors of this process.
#[derive(Default)]
struct Joins {
    measured: Measured,
    failures: BTreeMap<String, u64>,
}

struct Worker {
    api: Arc<Api>,
    wishes: mpsc::Sender<Wish>,
    joins: Arc<Mutex<Joins>>,
    findings: Findings,
}

/// Obeys the orders on standard input until told to finish, or until it ends.
///
/// # Errors
/// When the orders cannot be read or answered, or this machine lacks what a client needs.
pub async fn work(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    crate::limits::raise_open_files();
    // An interrupt reaches all processes of the terminal; the leading one tells us what to do about it.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut worker = None;
    while let Some(line) = lines.next_line().await? {
        match (serde_json::from_str(&line).context("an order that cannot be read")?, &mut worker) {
            (Order::Begin(share), none @ None) => *none = Some(Worker::begin(&args, share)?),
            (Order::Storm { spread }, Some(worker)) => worker.wish(Wish::Storm { spread }),
            (Order::Ask { count, bound }, Some(worker)) => worker.ask(count, bound).await?,
            (Order::Finish { bound }, Some(worker)) => {
                worker.finish(bound).await?;
                return Ok(ExitCode::SUCCESS);
            }
            (order, _) => anyhow::bail!("{order:?} out of turn"),
        }
    }
    Ok(ExitCode::FAILURE)
}

impl Worker {
    fn begin(args: &SimulateArgs, share: Share) -> anyhow::Result<Worker> {
        let base = args.base().map_err(anyhow::Error::msg)?;
        let api = Arc::new(Api::new(base.clone(), args.room.clone(), args.outage())?);
        // Its own, so that the buffers of its connections go when all have joined.
        let door = Arc::new(Api::new(base, args.room.clone(), args.outage())?);
        let (wishes, granted) = mpsc::channel();
        let ear = Ear::new(share.visitors, share.poll_every, Chance::new(share.seed));
        let driver = Driver::new(share.clone(), ear, granted)?;
        std::thread::Builder::new().name("sockets".into()).spawn(move || {
            if let Err(error) = driver.run() {
                tell(&Told::Failed { why: format!("the sockets failed: {error}") });
            }
        })?;
        let joins = Arc::new(Mutex::new(Joins::default()));
        tokio::spawn(arrive(door, share, wishes.clone(), joins.clone()));
        tokio::spawn(pulse(wishes.clone()));
        Ok(Worker { api, wishes, joins, findings: Findings::default() })
    }

    fn wish(&self, wish: Wish) {
        // The thread is gone only after it said why.
        let _ = self.wishes.send(wish);
    }

    async fn ask(&mut self, count: usize, bound: Micros) -> anyhow::Result<()> {
        let (answer, sample) = oneshot::channel();
        self.wish(Wish::Sample { count, answer });
        let sample = sample.await?;
        let whom: Vec<u32> = sample.iter().map(|asking| asking.who).collect();
        let wishes = self.wishes.clone();
        let look = async || {
            let (answer, looks) = oneshot::channel();
            let _ = wishes.send(Wish::Look { whom: whom.clone(), answer });
            looks.await.unwrap_or_default()
        };
        let asked = asking::ask(&self.api, &sample, bound, &mut self.findings, look).await;
        tell(&Told::Asked(asked));
        Ok(())
    }

    async fn finish(&mut self, bound: Micros) -> anyhow::Result<()> {
        let (answer, ear) = oneshot::channel();
        self.wish(Wish::Finish { bound, answer });
        let mut ear = ear.await?;
        let joins = std::mem::take(&mut *self.joins.lock().unwrap_or_else(PoisonError::into_inner));
        ear.measured.add(&joins.measured.pack());
        ear.findings.add(std::mem::take(&mut self.findings));
        let numbers = ear.roll.all().map(|(_, visitor)| visitor.number).filter(|number| *number > 0);
        tell(&Told::Done(Box::new(Done {
            latencies: ear.measured.pack(),
            numbers: numbers.collect(),
            failures: joins.failures,
            line: ear.line.tail(LINE_TOLD),
            refused: ear.refused,
            closed: ear.closed,
            findings: ear.findings,
        })));
        Ok(())
    }
}

/// So many marks of the line are told at the end, for comparison with other processes.
const LINE_TOLD: usize = 500;

async fn pulse(wishes: mpsc::Sender<Wish>) {
    loop {
        sleep(PULSE).await;
        let (answer, pulse) = oneshot::channel();
        if wishes.send(Wish::Pulse { answer }).is_err() {
            return;
        }
        match pulse.await {
            Ok(pulse) => tell(&Told::Pulse(pulse)),
            Err(_) => return,
        }
    }
}

/// Lets all visitors of this process join at their times, so many at once.
async fn arrive(api: Arc<Api>, share: Share, wishes: mpsc::Sender<Wish>, joins: Arc<Mutex<Joins>>) {
    let began = Instant::now();
    let arrivals = Arrivals::parse(&share.arrivals).unwrap_or(Arrivals::Flash);
    let schedule = arrivals.schedule(share.visitors, &mut Chance::new(share.seed));
    let arriving = Arc::new(Mutex::new((0u32..).zip(schedule)));
    for lane in 0..share.joins_at_once {
        let (api, wishes, joins, arriving) = (api.clone(), wishes.clone(), joins.clone(), arriving.clone());
        let mut chance = Chance::of_visitor(share.seed, lane);
        tokio::spawn(async move {
            loop {
                let next = arriving.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((who, offset)) = next else { return };
                sleep_until(began + offset).await;
                let wish = match join(&api, &mut chance, &joins).await {
                    Ok(joined) => Wish::Joined { who, number: joined.number, ticket: joined.ticket },
                    Err(why) => {
                        let mut joins = joins.lock().unwrap_or_else(PoisonError::into_inner);
                        *joins.failures.entry(why).or_default() += 1;
                        Wish::NotJoined { who }
                    }
                };
                if wishes.send(wish).is_err() {
                    return;
                }
            }
        });
    }
}

async fn join(api: &Api, chance: &mut Chance, joins: &Mutex<Joins>) -> Result<Joined, String> {
    let key = random_key().map_err(|e| e.to_string())?;
    let asked = clock::now();
    let call = Call::post(api.room_path("/tickets"), json!({})).key(&key).at_the_door();
    let answer = api.call(call, chance).await.map_err(|away| away.0)?;
    let whole = clock::now().saturating_sub(asked);
    let joined = answer.read()?;
    let mut joins = joins.lock().unwrap_or_else(PoisonError::into_inner);
    joins.measured.took(Kind::Join, u64::try_from(answer.took.as_micros()).unwrap_or_default());
    joins.measured.took(Kind::JoinWhole, whole);
    Ok(joined)
}

/// One line to the leading process. Without it there is nobody to work for.
fn tell(told: &Told) {
    let mut out = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut out, told).map_err(std::io::Error::from);
    if written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
