//! Leads a run through its phases: gather, hold, storm, hold again, ask, end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::{self, Micros, SECOND};
use super::protocol::{Asked, Done, Order, Pulse, Share, Told};
use super::show::Show;
use super::trickle::{Met, Trickle};
use super::workers::Workers;
use crate::simulate::args::SimulateArgs;
use crate::simulate::http::Api;

/// So many tickets are asked after at the end.
const ASKED_AFTER: usize = 200;
/// The last words of all workers are megabytes.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// What a run brought.
#[derive(Default)]
pub struct Run {
    pub began: Micros,
    pub processes: usize,
    /// Since the beginning; absent when it did not come to that.
    pub joined_all: Option<Micros>,
    pub opened_all: Option<Micros>,
    pub open_most: u64,
    /// The counts when holding began and ended, outside of the storm: rates are made of them.
    pub held: Vec<(Pulse, Pulse)>,
    pub storm: Option<Storm>,
    pub last: Pulse,
    pub asked: Vec<Asked>,
    pub done: Vec<Done>,
    pub extra: Option<Met>,
    pub ended: Micros,
    /// Worth knowing: why it is not a whole run.
    pub remarks: BTreeMap<String, u64>,
}

/// All sockets cut, and what became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storm {
    pub dropped: u64,
    /// Until everybody had heard of their place again; absent when somebody never did.
    pub all_back: Option<Micros>,
    pub refused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Yes,
    TimeIsUp,
    Interrupted,
}

struct Conductor<'a> {
    args: &'a SimulateArgs,
    workers: Workers,
    show: Show,
    run: Run,
    deadline: Instant,
    interrupted: bool,
}

/// Goes through all phases.
///
/// # Errors
/// When a worker process cannot be started, fails or falls.
pub async fn conduct(
    args: &SimulateArgs,
    api: Arc<Api>,
    shares: &[Share],
    hold: Duration,
) -> anyhow::Result<Run> {
    let run = Run { began: clock::now(), processes: shares.len(), ..Run::default() };
    let mut conductor = Conductor {
        args,
        workers: Workers::start(args, shares).await?,
        show: Show::new(args.visitors),
        run,
        deadline: Instant::now() + Duration::from_secs(args.timeout_seconds),
        interrupted: false,
    };
    let outcome = conductor.phases(api, hold).await;
    conductor.show.end();
    outcome.map(|()| conductor.run)
}

impl Conductor<'_> {
    async fn phases(&mut self, api: Arc<Api>, hold: Duration) -> anyhow::Result<()> {
        let visitors = u64::from(self.args.visitors);
        match self.until("gathering", self.deadline, |now| now.told >= visitors).await? {
            Reached::Yes => {}
            Reached::TimeIsUp => {
                self.remark("time was up before everybody had a channel and knew their place")
            }
            Reached::Interrupted => {}
        }
        match self.args.storm {
            false => self.hold(hold).await?,
            true => {
                let trickle = Trickle::start(api);
                let led = self.through_the_storm(&trickle, hold).await;
                self.run.extra = Some(trickle.end().await);
                led?;
            }
        }
        self.run.last = self.workers.sum();
        self.run.ended = clock::now();
        self.ask().await?;
        self.finish().await
    }

    async fn through_the_storm(&mut self, trickle: &Trickle, hold: Duration) -> anyhow::Result<()> {
        self.hold(hold / 2).await?;
        if self.interrupted {
            return Ok(());
        }
        trickle.storming(true);
        self.storm().await?;
        trickle.storming(false);
        self.hold(hold / 2).await
    }

    /// Lets so much time pass and notes the counts at both ends.
    async fn hold(&mut self, lasts: Duration) -> anyhow::Result<()> {
        let before = self.workers.sum();
        self.until("holding", self.deadline.min(Instant::now() + lasts), |_| false).await?;
        self.run.held.push((before, self.workers.sum()));
        Ok(())
    }

    async fn storm(&mut self) -> anyhow::Result<()> {
        let before = self.workers.sum();
        let began = clock::now();
        self.workers.order_all(&Order::Storm { spread: self.args.storm_spread_seconds * SECOND }).await?;
        // A pulse from before the order knows nothing of it.
        let storms = self.workers.count() as u64;
        let over = |now: &Pulse| now.storms == storms && now.stormed == 0;
        let reached = self.until("storm", self.deadline, over).await?;
        if reached == Reached::TimeIsUp {
            self.remark("time was up before everybody was back after the storm");
        }
        let now = self.workers.sum();
        self.run.storm = Some(Storm {
            dropped: before.open,
            all_back: (reached == Reached::Yes).then(|| now.at.saturating_sub(began)),
            refused: now.refused - before.refused,
        });
        Ok(())
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let each = ASKED_AFTER.div_ceil(self.workers.count().max(1));
        let bound = self.args.settle_seconds * SECOND;
        self.workers.order_all(&Order::Ask { count: each, bound }).await?;
        while self.run.asked.len() < self.workers.count() {
            match self.workers.next().await? {
                Some(Told::Asked(asked)) => self.run.asked.push(asked),
                Some(_) | None => self.show.see("asking", &self.workers.sum()),
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        let bound = self.args.settle_seconds * SECOND;
        self.workers.order_all(&Order::Finish { bound }).await?;
        let all = async {
            while self.run.done.len() < self.workers.count() {
                if let Some(Told::Done(done)) = self.workers.next().await? {
                    self.run.done.push(*done);
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LAST_WORDS, all).await?
    }

    /// Takes pulses in until it is so, or `deadline`, or an interrupt; after one interrupt nothing waits.
    async fn until(
        &mut self,
        phase: &str,
        deadline: Instant,
        so: impl Fn(&Pulse) -> bool,
    ) -> anyhow::Result<Reached> {
        let visitors = u64::from(self.args.visitors);
        while !self.interrupted {
            tokio::select! {
                told = self.workers.next() => { told?; }
                () = tokio::time::sleep_until(deadline) => return Ok(Reached::TimeIsUp),
                _ = tokio::signal::ctrl_c() => {
                    self.interrupted = true;
                    self.remark("interrupted: the run was cut short");
                }
            }
            let now = self.workers.sum();
            let since = now.at.saturating_sub(self.run.began);
            self.run.open_most = self.run.open_most.max(now.open);
            if now.joined + now.lost >= visitors {
                self.run.joined_all.get_or_insert(since);
            }
            if now.told >= visitors {
                self.run.opened_all.get_or_insert(since);
            }
            self.show.see(phase, &now);
            if so(&now) {
                return Ok(Reached::Yes);
            }
        }
        Ok(Reached::Interrupted)
    }

    fn remark(&mut self, what: &str) {
        *self.run.remarks.entry(what.to_owned()).or_default() += 1;
    }
}
