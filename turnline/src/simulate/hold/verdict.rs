//! Sums up what the workers saw, judges what only shows in all of it, and writes it down.

use std::collections::BTreeMap;

use super::checks::{Check, Findings};
use super::clock::{self, Micros, SECOND};
use super::conduct::Run;
use super::line::Line;
use super::measured::Measured;
use super::protocol::{Done, Pulse};
use super::report::{HoldReport, LineReport, Simulator, StormReport, Traffic};
use crate::simulate::args::SimulateArgs;

/// Judges the run as a whole.
pub fn report(args: &SimulateArgs, seed: u64, channels: Vec<String>, mut run: Run) -> HoldReport {
    let bound = args.settle_seconds * SECOND;
    let (mut findings, mut measured) = (Findings::default(), Measured::default());
    for done in &mut run.done {
        findings.add(std::mem::take(&mut done.findings));
        measured.add(&done.latencies);
    }
    if let Some(extra) = &run.extra {
        measured.add(&extra.measured.pack());
    }
    judge_numbers(&run, &mut findings);
    let line = line_report(&run, bound, &mut findings);
    if !line.plain {
        let why = "the line is not plain: how fresh every figure was could not be judged";
        *run.remarks.entry(why.into()).or_default() += 1;
    }
    let storm = storm_report(args, &run);
    let in_place = run.opened_all.is_some()
        && run.last.lost == 0
        && storm.as_ref().is_none_or(|storm| storm.seconds_until_all_back.is_some());
    HoldReport {
        ok: findings.broken() == 0 && in_place,
        url: args.url.clone(),
        channels,
        room: args.room.clone(),
        visitors: args.visitors,
        arrivals: args.arrivals.to_string(),
        medium: args.medium().name(),
        seed,
        processes: run.processes,
        duration_seconds: clock::seconds(run.ended.saturating_sub(run.began)),
        joined: run.last.joined,
        know_their_place: run.last.told.saturating_sub(run.last.lost),
        inside: run.last.inside,
        ended: run.last.ended,
        lost: run.last.lost,
        sockets_most: run.open_most,
        seconds_to_join_all: run.joined_all.map(clock::seconds),
        seconds_to_open_all: run.opened_all.map(clock::seconds),
        failures: summed(&run.done, |done| &done.failures),
        refused: summed(&run.done, |done| &done.refused),
        closed: summed(&run.done, |done| &done.closed),
        traffic: traffic(args.visitors, &run.held),
        simulator: simulator(&run),
        line,
        storm,
        latencies: measured.report(),
        rules: findings.report(),
        rules_broken: findings.broken(),
        remarks: run.remarks,
    }
}

fn judge_numbers(run: &Run, findings: &mut Findings) {
    let extra = run.extra.iter().flat_map(|extra| &extra.numbers);
    let mut numbers: Vec<u64> =
        run.done.iter().flat_map(|done| &done.numbers).chain(extra).copied().collect();
    numbers.sort_unstable();
    let mut before = None;
    for number in numbers {
        findings.judge(Check::NumbersUnique, before != Some(number), || {
            format!("number {number} was given twice")
        });
        before = Some(number);
    }
}

/// Whether all processes saw one line, and whether it is a plain one.
fn line_report(run: &Run, bound: Micros, findings: &mut Findings) -> LineReport {
    let tails: Vec<_> = run.done.iter().map(|done| done.line.clone()).collect();
    let line = Line::merged(&tails);
    let plain = is_plain(run, &line, bound);
    if plain {
        for newest in tails.iter().filter_map(|tail| Some(tail.last()?.0)) {
            let age = line.outdated_since(newest).map_or(0, |since| run.ended.saturating_sub(since));
            findings.judge(Check::FiguresFresh, age <= bound, || {
                format!(
                    "a whole process heard of progress {newest} last, overtaken {:.1} s before",
                    clock::seconds(age)
                )
            });
        }
    } else {
        findings.forget(Check::FiguresFresh);
    }
    LineReport {
        plain,
        asked: run.asked.iter().map(|asked| asked.asked).sum(),
        agreed_after_seconds: run.asked.iter().map(|asked| clock::seconds(asked.took)).fold(0.0, f64::max),
        bound_seconds: bound / SECOND,
        first_heard_skew_ms: skew(&tails, &line) as f64 / 1000.0,
    }
}

/// Everybody who was asked had the same `number - position`, but for what the line moved meanwhile.
fn is_plain(run: &Run, line: &Line, bound: Micros) -> bool {
    let answered = || run.asked.iter().filter_map(|asked| asked.progress);
    let (least, most) = (answered().map(|(least, _)| least).min(), answered().map(|(_, most)| most).max());
    let Some((least, most)) = least.zip(most) else { return false };
    let marks = line.tail(usize::MAX);
    let recent = marks.iter().filter(|(_, first)| *first + bound >= run.ended);
    let newest = line.newest().unwrap_or_default();
    let oldest = recent.map(|(progress, _)| *progress).min().unwrap_or(newest);
    most - least <= newest - oldest
}

/// How much later than the first of all processes each one heard first, p99.
fn skew(tails: &[Vec<(u64, Micros)>], line: &Line) -> Micros {
    let all: BTreeMap<u64, Micros> = line.tail(usize::MAX).into_iter().collect();
    let behind = |(progress, first): &(u64, Micros)| Some(first.saturating_sub(*all.get(progress)?));
    let mut behind: Vec<Micros> = tails.iter().flatten().filter_map(behind).collect();
    behind.sort_unstable();
    behind.get(behind.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

fn storm_report(args: &SimulateArgs, run: &Run) -> Option<StormReport> {
    let storm = run.storm?;
    let extra = run.extra.as_ref();
    Some(StormReport {
        dropped: storm.dropped,
        spread_seconds: args.storm_spread_seconds,
        seconds_until_all_back: storm.all_back.map(clock::seconds),
        handshakes_refused: storm.refused,
        extra_joins: extra.map_or(0, |extra| extra.numbers.len() as u64),
        extra_joins_failed: extra.map(|extra| extra.failures.clone()).unwrap_or_default(),
    })
}

fn traffic(visitors: u32, held: &[(Pulse, Pulse)]) -> Traffic {
    let sum = |count: fn(&Pulse) -> u64| -> u64 {
        held.iter().map(|(before, after)| count(after).saturating_sub(count(before))).sum()
    };
    let held_seconds = clock::seconds(sum(|pulse| pulse.at));
    let (messages, bytes) = (sum(|pulse| pulse.messages), sum(|pulse| pulse.bytes));
    let (requests, bytes_out) = (sum(|pulse| pulse.requests), sum(|pulse| pulse.bytes_out));
    let a_second = |count: u64| (held_seconds > 0.0).then(|| count as f64 / held_seconds);
    let a_visitor_minute = |count: u64| a_second(count).map(|rate| rate * 60.0 / f64::from(visitors));
    Traffic {
        held_seconds,
        messages,
        messages_per_second: a_second(messages),
        messages_per_visitor_minute: a_visitor_minute(messages),
        bytes_per_second: a_second(bytes),
        bytes_per_visitor_minute: a_visitor_minute(bytes),
        requests_per_second: a_second(requests).filter(|_| requests > 0),
        bytes_out_per_visitor_minute: a_visitor_minute(bytes_out).filter(|_| requests > 0),
    }
}

fn simulator(run: &Run) -> Simulator {
    let sum = |count: fn(&Pulse) -> u64| -> u64 {
        run.held.iter().map(|(before, after)| count(after).saturating_sub(count(before))).sum()
    };
    let messages = sum(|pulse| pulse.messages);
    Simulator {
        kept_bytes_per_visitor: (run.last.joined > 0).then(|| run.last.kept as f64 / run.last.joined as f64),
        memory_bytes: run.last.memory,
        processor_micros_per_message: (messages > 0)
            .then(|| sum(|pulse| pulse.processor) as f64 / messages as f64),
        processor_seconds: clock::seconds(run.last.processor),
    }
}

fn summed(done: &[Done], counts: impl Fn(&Done) -> &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (what, count) in done.iter().flat_map(counts) {
        *sums.entry(what.clone()).or_default() += count;
    }
    sums
}
