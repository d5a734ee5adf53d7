//! What a visitor costs the kernel with 10^4, 10^6 and 10^7 others in the line: joining, being called,
//! leaving, and a node's sweep over the positions of its own sockets. The figures should not grow with it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel::line::Line;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::room::{Call, Called, Join, Room};
use kernel::session::Next;
use kernel::words::{Digest, EndReason, LaneName, Number, Ranges, RoomId, Timestamp};

const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const WAITING: [u64; 3] = [10_000, 1_000_000, 10_000_000];
const SOCKETS: u64 = 10_000;
/// Visitors in one step of what is done in batches.
const BATCH: u64 = 100;

fn policy() -> Policy {
    Policy {
        capacity: u64::MAX,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: None,
    }
}

fn strangers(count: u64) -> Vec<Join> {
    let one = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
    vec![one; count as usize]
}

/// A room in which `waiting` visitors wait, one in ten of those who came having left.
fn room(waiting: u64) -> Room {
    let Ok(id) = RoomId::parse("bench") else { unreachable!("the name is a room's") };
    let mut room = Room::new(id, policy(), None, T0);
    let issued = waiting * 10 / 9;
    let batch = strangers(10_000.min(issued));
    while room.state().issued < issued {
        room.join(&batch, T0);
        room.take_events();
    }
    let leavers: Ranges = (1..=room.state().issued).filter(|number| number % 10 == 0).collect();
    room.depart(&leavers, EndReason::Left, T0);
    room.take_events();
    room
}

/// Times `step`, which changes the room, with what `prepare` made of it; `tidy` puts the room back. Only
/// the step counts.
fn timed<P>(
    iterations: u64,
    room: &mut Room,
    mut prepare: impl FnMut(&Room) -> P,
    mut step: impl FnMut(&mut Room, P),
    tidy: impl Fn(&mut Room),
) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..iterations {
        let prepared = prepare(room);
        let start = Instant::now();
        step(room, prepared);
        black_box(room.take_events());
        spent += start.elapsed();
        tidy(room);
    }
    spent
}

/// Puts as many back at the end as a step took from the line.
fn refill(room: &mut Room, count: u64) {
    room.join(&strangers(count), T0);
    room.take_events();
}

fn end_sessions(room: &mut Room) {
    let sessions: Vec<_> = room.state().sessions.iter().map(|(number, held)| (*number, *held)).collect();
    for (number, held) in sessions {
        room.swap_session(number, held, Next::Ended(EndReason::Paid), T0);
    }
    room.take_events();
}

fn joins(criterion: &mut Criterion) {
    for batch in [1, BATCH] {
        let mut group = criterion.benchmark_group(format!("join {batch} at a time"));
        group.throughput(Throughput::Elements(batch));
        for waiting in WAITING {
            let mut room = room(waiting);
            let mut joined: u64 = 0;
            group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
                bencher.iter_custom(|iterations| {
                    timed(
                        iterations,
                        &mut room,
                        |_| {
                            let mut batch = strangers(batch);
                            batch.iter_mut().for_each(|join| {
                                joined += 1;
                                join.key = Some(Digest::of(&[&joined.to_be_bytes()]));
                            });
                            // So fast that a hundred thousand keys are remembered at any time.
                            (batch, T0.plus_millis(joined * 6))
                        },
                        |room, (batch, now)| {
                            black_box(room.join(&batch, now));
                        },
                        |room| {
                            // The line stays as long as it was: the newest leave again.
                            let last = room.state().issued;
                            let fresh: Ranges = (last + 1 - batch..=last).collect();
                            room.depart(&fresh, EndReason::Left, T0);
                            room.take_events();
                        },
                    )
                });
            });
        }
        group.finish();
    }
}

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("call {BATCH}"));
    group.throughput(Throughput::Elements(BATCH));
    for waiting in WAITING {
        let mut room = room(waiting);
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter_custom(|iterations| {
                timed(
                    iterations,
                    &mut room,
                    |room| Call {
                        per_lane: vec![BATCH],
                        called_before: room.state().called,
                        active_max: u64::MAX,
                        claim_by: T0,
                    },
                    |room, call| assert_ne!(black_box(room.call_next(&call, T0)), Called::LostRace),
                    |room| {
                        end_sessions(room);
                        refill(room, BATCH);
                    },
                )
            });
        });
    }
    group.finish();
}

fn departures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("leave 1 at a time");
    group.throughput(Throughput::Elements(1));
    for waiting in WAITING {
        let mut room = room(waiting);
        let mut steps: Number = 0;
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter_custom(|iterations| {
                timed(
                    iterations,
                    &mut room,
                    |room| {
                        // Anywhere among as many of the newest as wait.
                        let newest = room.state().line.waiting();
                        loop {
                            steps += 7_919;
                            let number = room.state().issued - steps % newest;
                            if room.state().line.contains(number) {
                                return Ranges::one(number);
                            }
                        }
                    },
                    |room, leaver| {
                        black_box(room.depart(&leaver, EndReason::Left, T0));
                    },
                    |room| refill(room, 1),
                )
            });
        });
    }
    group.finish();
}

/// Positions of the sockets of one node, which are spread over the whole line.
fn sweeps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("sweep {SOCKETS} sockets"));
    group.throughput(Throughput::Elements(SOCKETS));
    for waiting in WAITING {
        let room = room(waiting);
        let line: &Line = &room.state().line;
        let stride = (room.state().issued / SOCKETS).max(1);
        let places: Vec<Number> = (0..SOCKETS).map(|at| at * stride + 1).collect();
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter(|| line.positions(0, places.iter().copied()).flatten().sum::<u64>());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = joins, calls, departures, sweeps
}
criterion_main!(benches);
