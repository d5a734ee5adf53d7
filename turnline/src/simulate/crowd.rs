//! Sends all visitors on their way, waits for them and the room to come to rest, and sums up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::chance::Chance;
use super::figures::Span;
use super::http::Call;
use super::message::Mine;
use super::report::{ChannelUse, MemoryUse, Numbers, Outcomes, Rates, Report, latencies};
use super::rules::{At, Fact, RoomSample, RunEnd, Witness, alone, judge};
use super::visitor::{Outcome, live};
use super::watch::{Memory, own_memory, sample};
use super::world::World;

/// A room that admitted nobody for so long, with slots free, has stopped.
const STALLED: Duration = Duration::from_secs(90);
/// How long the list of seats may lag behind the payments.
const CAUGHT_UP: Duration = Duration::from_secs(15);
/// So many of those who abandoned are asked after at the end.
const ASKED_AFTER: usize = 200;

/// How the visitors came out.
pub struct Crowd {
    outcomes: Vec<Outcome>,
    took: At,
}

impl Crowd {
    /// Lets every visitor go at their time, until all are through or the time is up.
    pub async fn go(world: Arc<World>) -> Crowd {
        let began = Instant::now();
        let deadline = began + Duration::from_secs(world.args.timeout_seconds);
        let schedule = world.args.arrivals.schedule(world.args.visitors, &mut Chance::new(world.seed));
        let mut arriving = schedule.into_iter().enumerate().peekable();
        let mut visitors = JoinSet::new();
        let mut outcomes = Vec::new();
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            while let Some((index, _)) = arriving.next_if(|(_, offset)| began.elapsed() >= *offset) {
                visitors.spawn(live(world.clone(), index));
            }
            let next = arriving.peek().map_or(deadline, |(_, offset)| began + *offset);
            tokio::select! {
                through = visitors.join_next(), if !visitors.is_empty() => match through {
                    Some(Ok(outcome)) => outcomes.push(outcome),
                    Some(Err(error)) => outcomes.push(Outcome::Failed(format!("visitor broke off: {error}"))),
                    None => {}
                },
                () = sleep_until(next.min(deadline)) => {}
                _ = &mut interrupted => {
                    world.remark("interrupted: visitors were sent home early".into());
                    break;
                }
            }
            if Instant::now() >= deadline || (visitors.is_empty() && arriving.peek().is_none()) {
                break;
            }
        }
        visitors.shutdown().await;
        Crowd { outcomes, took: world.now() }
    }

    /// Waits for the room to come to rest, then looks at what only shows at rest.
    pub async fn settle(&self, world: &World) -> RunEnd {
        let before = world.watch().first;
        let finished = self.unfinished(world) == 0;
        let rested = match finished {
            true => self.drain(world, before).await,
            false => sample(world).await,
        };
        if finished {
            ask_after_abandoned(world).await;
        }
        let last_admitted = world.witnesses().iter().filter_map(|w| w.admitted).max().unwrap_or_default();
        let quiet = self.took.saturating_sub(last_admitted) > STALLED;
        RunEnd {
            capacity_most: before.map(|_| world.watch().capacity_most),
            active_before: before.map_or(0, |sample| sample.active),
            active_after: rested.filter(|_| finished).map(|sample| sample.active),
            finished: finished && self.failures().is_empty(),
            stalled: quiet && rested.is_some_and(|room| room.open && room.active < room.capacity),
            sold: self.sold(world).await,
        }
    }

    /// Judges the run and writes everything down.
    pub fn report(&self, world: &World, end: &RunEnd, memory: &Memory) -> Report {
        let witnesses = world.witnesses();
        judge(&witnesses, end, &mut world.tally());
        let free = world.watch().first.map_or(0, |room| room.capacity.saturating_sub(room.active));
        let mut figures = world.figures();
        if world.args.abandon_fraction == 0.0 {
            figures.match_releases(free);
        }
        let tally = world.tally();
        let outcomes = self.outcomes(world);
        let (failures, rules_broken) = (self.failures(), tally.broken());
        let server = memory.server_most.load(Ordering::Relaxed);
        let per_second = |span: Span| span.per_second();
        Report {
            ok: rules_broken == 0 && outcomes.unfinished == 0 && outcomes.failed == 0,
            url: world.args.url.clone(),
            room: world.args.room.clone(),
            visitors: world.args.visitors,
            arrivals: world.args.arrivals.to_string(),
            medium: world.args.medium().name(),
            buy: world.args.buy,
            seed: world.seed,
            duration_seconds: self.took.as_secs_f64(),
            outcomes,
            failures,
            rates: Rates {
                joins_per_second: per_second(figures.joins),
                admitted_per_second: per_second(figures.admissions),
                pushes_per_second: per_second(figures.pushes),
            },
            latencies: latencies(&figures),
            memory: MemoryUse {
                server_max_bytes: (server > 0).then_some(server),
                simulator_max_bytes: own_memory(),
            },
            channel: ChannelUse {
                messages: figures.pushes.count,
                reconnects: figures.reconnects,
                retried_calls: figures.retried_calls,
                ends_unheard: figures.ended_unheard,
            },
            numbers: numbers(&witnesses),
            rules: tally.report(),
            rules_broken,
            remarks: world.remarks(),
        }
    }

    fn unfinished(&self, world: &World) -> u64 {
        u64::from(world.args.visitors) - self.outcomes.len() as u64
    }

    /// Waits until as many slots are taken as before the run, within the time given for it.
    async fn drain(&self, world: &World, before: Option<RoomSample>) -> Option<RoomSample> {
        let before = before?;
        let deadline = Instant::now() + Duration::from_secs(world.args.drain_seconds);
        loop {
            let now = sample(world).await;
            let at_rest =
                now.is_some_and(|room| room.active <= before.active && room.waiting <= before.waiting);
            // With others in the line the room need not come to rest at all.
            let others = !alone(&world.witnesses());
            if at_rest || others || Instant::now() >= deadline {
                return now;
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// The seat map is cached for a moment, so it is read until it has caught up with our own payments.
    async fn sold(&self, world: &World) -> Option<BTreeSet<String>> {
        let shop = world.shop.as_ref()?;
        let own: BTreeSet<String> = world.witnesses().into_iter().filter_map(|w| w.seat).collect();
        let deadline = Instant::now() + CAUGHT_UP;
        loop {
            match shop.sold(&world.api).await {
                Ok(sold) if own.is_subset(&sold) || Instant::now() >= deadline => return Some(sold),
                Ok(_) => sleep(Duration::from_millis(500)).await,
                Err(why) => {
                    world.remark(format!("sold seats not listed: {why}"));
                    return None;
                }
            }
        }
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        let mut failures = BTreeMap::new();
        for outcome in &self.outcomes {
            if let Outcome::Failed(why) = outcome {
                *failures.entry(why.clone()).or_default() += 1;
            }
        }
        failures
    }

    fn outcomes(&self, world: &World) -> Outcomes {
        let mut counts = Outcomes {
            joined: world.counts.joined.load(Ordering::Relaxed),
            unfinished: self.unfinished(world),
            ..Outcomes::default()
        };
        for outcome in &self.outcomes {
            let count = match outcome {
                Outcome::Paid => &mut counts.paid,
                Outcome::GaveBack => &mut counts.gave_back,
                Outcome::SoldOut => &mut counts.sold_out,
                Outcome::Left => &mut counts.left,
                Outcome::Abandoned => &mut counts.abandoned,
                Outcome::Expired => &mut counts.expired,
                Outcome::SentAway => &mut counts.sent_away,
                Outcome::Failed(_) => &mut counts.failed,
            };
            *count += 1;
        }
        counts
    }
}

/// Only now, with the room at rest: asking earlier would itself keep an absent visitor's place.
async fn ask_after_abandoned(world: &World) {
    let mut chance = Chance::new(world.seed);
    let tickets = world.abandoned_tickets();
    for (index, ticket) in tickets.iter().take(ASKED_AFTER) {
        let call = Call::get(world.api.room_path("/tickets/me")).bearer(ticket);
        let Ok(answer) = world.api.call(call, &mut chance).await else { return };
        match answer.read::<Mine>() {
            Ok(Mine { reason: Some(reason), .. }) => world.see(*index, Fact::Ended(reason)),
            Ok(mine) => world.remark(format!("an abandoned ticket is still {}", mine.state)),
            Err(_) => {
                world.see(
                    *index,
                    Fact::TicketRefused { status: answer.status, how: "tickets/me of an ended ticket" },
                );
            }
        }
    }
}

fn numbers(witnesses: &[Witness]) -> Numbers {
    let ours = || witnesses.iter().filter_map(|w| w.number);
    let (first, last) = (ours().min(), ours().max());
    let span = first.zip(last).map_or(0, |(first, last)| last - first + 1);
    Numbers { first, last, not_ours: span.saturating_sub(ours().count() as u64) }
}
