//! What only the histories of all visitors together can disprove, judged once at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message::Reason;
use super::{At, Check, TOLERANCE, Tally, Witness, seconds};

/// How the run and the room ended.
#[derive(Clone, Debug, Default)]
pub struct RunEnd {
    /// The largest capacity the room showed; none when it was never seen.
    pub capacity_most: Option<u64>,
    pub active_before: u64,
    /// Slots taken when everyone was done and had the time to drain; none when not everyone was.
    pub active_after: Option<u64>,
    /// Everyone came to an end in time.
    pub finished: bool,
    /// At the end slots stood free, the room was open, and yet for long nobody was called.
    pub stalled: bool,
    /// Listed as sold at the end, as `performance/seat`; none when it could not be read.
    pub sold: Option<BTreeSet<String>>,
}

/// Judges the whole run.
pub fn judge(witnesses: &[Witness], end: &RunEnd, tally: &mut Tally) {
    numbers_unique(witnesses, tally);
    numbers_follow_arrival(witnesses, tally);
    admission_follows_line(witnesses, tally);
    own_within_capacity(witnesses, end, tally);
    stayers_called(witnesses, end, tally);
    slots_come_back(witnesses, end, tally);
    seats(witnesses, end, tally);
}

/// Whether the own visitors were the only ones joining, as far as their numbers tell.
pub fn alone(witnesses: &[Witness]) -> bool {
    let numbers: BTreeSet<u64> = witnesses.iter().filter_map(|w| w.number).collect();
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) => last - first + 1 == numbers.len() as u64,
        _ => false,
    }
}

fn numbers_unique(witnesses: &[Witness], tally: &mut Tally) {
    let mut seen = BTreeSet::new();
    for number in witnesses.iter().filter_map(|w| w.number) {
        tally.judge(Check::NumbersUnique, seen.insert(number) && number > 0, || {
            format!("number {number} was given to two visitors, or is 0")
        });
    }
}

/// Who asked after another had the answer must have a larger number.
fn numbers_follow_arrival(witnesses: &[Witness], tally: &mut Tally) {
    let joined = || witnesses.iter().filter_map(|w| Some((w.join_asked?, w.joined?, w.number?)));
    let mut by_asking: Vec<_> = joined().map(|(asked, _, number)| (asked, number)).collect();
    let mut by_answer: Vec<_> = joined().map(|(_, answered, number)| (answered, number)).collect();
    by_asking.sort_unstable();
    by_answer.sort_unstable();
    let mut answers = by_answer.into_iter().peekable();
    let mut largest = 0;
    for (asked, number) in by_asking {
        while let Some((_, earlier)) = answers.next_if(|(answered, _)| *answered < asked) {
            largest = largest.max(earlier);
        }
        tally.judge(Check::NumbersFollowArrival, number > largest, || {
            format!("number {number} was given after {largest}, asked for at {}", seconds(asked))
        });
    }
}

/// Goes through the line from the back and remembers the earliest admission behind.
///
/// Admissions are heard over different sockets, so only what the tolerance cannot explain counts:
/// someone still waiting, or called, that much after a larger number was in. Who joined before the
/// opening is left out: a lottery may have drawn their order.
fn admission_follows_line(witnesses: &[Witness], tally: &mut Tally) {
    let mut line: Vec<(u64, &Witness)> =
        witnesses.iter().filter(|w| !w.prequeue).filter_map(|w| Some((w.number?, w))).collect();
    line.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    let mut behind: Option<(At, u64, Option<u64>)> = None;
    for (number, witness) in line {
        if witness.stays() || witness.admitted.is_some() {
            let late = behind.is_some_and(|earliest| comes_too_late(witness, earliest));
            tally.judge(Check::AdmissionFollowsLine, !late, || {
                let (at, other, _) = behind.unwrap_or_default();
                format!("number {number} was behind number {other}, who was in at {}", seconds(at))
            });
        }
        if let Some(at) = witness.admitted
            && behind.is_none_or(|(earliest, ..)| at < earliest)
        {
            behind = Some((at, number, witness.iat));
        }
    }
}

fn comes_too_late(witness: &Witness, (overtaken, _, other_iat): (At, u64, Option<u64>)) -> bool {
    let waited_on = witness.last_waiting.is_some_and(|waiting| waiting > overtaken + TOLERANCE);
    let called_later = witness.admitted.is_some_and(|at| at > overtaken + TOLERANCE);
    // A pass is dated by the server, so a message that was only slow on its way is no proof.
    let dated_later = match (witness.iat, other_iat) {
        (Some(own), Some(other)) => own > other + TOLERANCE.as_secs(),
        _ => true,
    };
    let listened = witness.connected_since.is_some_and(|since| since <= overtaken);
    waited_on || (called_later && dated_later && listened)
}

/// Sweeps over the time each visitor was surely inside: from the admission heard to the release
/// asked for, the end heard, or the pass's end, whichever came first.
fn own_within_capacity(witnesses: &[Witness], end: &RunEnd, tally: &mut Tally) {
    let Some(capacity) = end.capacity_most else { return };
    let millis = |at: At| at.as_millis() as i64;
    // The server's clock against ours, never too early: a pass is heard of after it was dated.
    let offset =
        witnesses.iter().filter_map(|w| Some(millis(w.admitted?) - i64::try_from(w.iat?).ok()? * 1000)).min();
    let mut turns: Vec<(i64, i64)> = Vec::new();
    for witness in witnesses {
        let Some(from) = witness.admitted.map(millis) else { continue };
        let expiry = match (witness.exp.and_then(|exp| i64::try_from(exp).ok()), offset) {
            (Some(exp), Some(offset)) => exp * 1000 + offset - 2000,
            _ => i64::MAX,
        };
        let asked = witness.release_asked.map_or(i64::MAX, millis);
        let ended = witness.ended.map_or(i64::MAX, |(at, _)| millis(at));
        let until = expiry.min(asked).min(ended);
        if from < until && !witness.abandoned {
            turns.push((from, 1));
            turns.push((until, -1));
        }
    }
    // Sorted so that at one instant those who go, go first.
    turns.sort_unstable();
    let mut inside = 0i64;
    for (at, step) in turns {
        inside += step;
        if step > 0 {
            tally.judge(Check::OwnWithinCapacity, inside <= capacity as i64, || {
                format!("{inside} own visitors inside at {:.3} s, capacity {capacity}", at as f64 / 1000.0)
            });
        }
    }
}

fn stayers_called(witnesses: &[Witness], end: &RunEnd, tally: &mut Tally) {
    for witness in witnesses.iter().filter(|w| w.number.is_some()) {
        let sent_away = matches!(witness.ended, Some((_, Reason::RoomClosed | Reason::Revoked)));
        let called = witness.admitted.is_some();
        // Who is still in line when the time is up was not skipped, unless slots stood free.
        let judged = called || end.finished || end.stalled;
        if (called || witness.stays()) && !sent_away && judged {
            tally.judge(Check::StayersCalled, called, || format!("{} was never called", witness.name()));
        }
    }
}

fn slots_come_back(witnesses: &[Witness], end: &RunEnd, tally: &mut Tally) {
    let Some(after) = end.active_after else { return };
    if alone(witnesses) {
        tally.judge(Check::SlotsComeBack, after <= end.active_before, || {
            format!("{after} slots are taken after everyone was done, {} before the run", end.active_before)
        });
    }
}

fn seats(witnesses: &[Witness], end: &RunEnd, tally: &mut Tally) {
    let mut owners: BTreeMap<&str, &Witness> = BTreeMap::new();
    for witness in witnesses {
        let Some(seat) = witness.seat.as_deref() else { continue };
        let other = owners.insert(seat, witness);
        tally.judge(Check::SeatSoldOnce, other.is_none(), || {
            let other = other.map(Witness::name).unwrap_or_default();
            format!("seat {seat} was confirmed for {other} and {}", witness.name())
        });
        if let Some(sold) = &end.sold {
            tally.judge(Check::SoldSeatsListed, sold.contains(seat), || {
                format!("seat {seat} was paid for by {} and is not listed as sold", witness.name())
            });
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
