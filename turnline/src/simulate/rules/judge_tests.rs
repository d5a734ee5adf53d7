//! Good histories pass; for each rule there is a history in which it is broken, and found.

use super::*;

fn secs(s: u64) -> At {
    At::from_secs(s)
}

/// Joined at second `number`, connected ever since, not called yet.
fn visitor(number: u64) -> Witness {
    Witness {
        number: Some(number),
        join_asked: Some(secs(number)),
        joined: Some(secs(number) + At::from_millis(10)),
        connected_since: Some(secs(number) + At::from_millis(20)),
        ..Witness::default()
    }
}

fn called(number: u64, at: u64, until: u64) -> Witness {
    Witness {
        admitted: Some(secs(at)),
        iat: Some(1_000 + at),
        exp: Some(1_300 + at),
        release_asked: Some(secs(until)),
        ..visitor(number)
    }
}

fn good_end() -> RunEnd {
    RunEnd { capacity_most: Some(2), active_after: Some(0), finished: true, ..RunEnd::default() }
}

fn broken(witnesses: &[Witness], end: &RunEnd, check: Check) -> u64 {
    let mut tally = Tally::default();
    judge(witnesses, end, &mut tally);
    let found = tally.of(check);
    assert!(found.checked > 0, "{check:?} was not looked at");
    assert_eq!(found.broken.min(5) as usize, found.examples.len());
    found.broken
}

#[test]
fn a_fair_run_breaks_nothing() {
    let mut witnesses: Vec<_> = (1..=20).map(|n| called(n, 30 + n, 32 + n)).collect();
    for (index, witness) in witnesses.iter_mut().enumerate() {
        witness.seat = Some(format!("p/{index}"));
    }
    let sold = witnesses.iter().filter_map(|w| w.seat.clone()).collect();
    let mut tally = Tally::default();
    judge(&witnesses, &RunEnd { sold: Some(sold), ..good_end() }, &mut tally);
    assert_eq!(tally.broken(), 0);
    for check in [Check::OwnWithinCapacity, Check::AdmissionFollowsLine, Check::StayersCalled] {
        assert_eq!(tally.of(check).checked, 20, "{check:?}");
    }
    assert_eq!(tally.of(Check::SlotsComeBack).checked, 1);
    assert_eq!(tally.of(Check::SoldSeatsListed).checked, 20);
}

#[test]
fn one_visitor_too_many_inside_is_found() {
    let end = good_end();
    let crowd = [called(1, 30, 40), called(2, 30, 40), called(3, 39, 50)];
    assert_eq!(broken(&crowd, &end, Check::OwnWithinCapacity), 1);
    // Out at the instant the next comes in: allowed.
    let handover = [called(1, 30, 40), called(2, 30, 40), called(3, 40, 50)];
    assert_eq!(broken(&handover, &end, Check::OwnWithinCapacity), 0);
    // Without a release the pass's own end frees the slot (300 s after it was dated).
    let mut expired = [called(1, 30, 0), called(2, 30, 0), called(3, 329, 340)];
    for witness in &mut expired {
        witness.release_asked = None;
    }
    assert_eq!(broken(&expired, &end, Check::OwnWithinCapacity), 0);
    expired[2].admitted = Some(secs(300));
    expired[2].iat = Some(1_300);
    assert_eq!(broken(&expired, &end, Check::OwnWithinCapacity), 1);
}

#[test]
fn a_number_given_twice_is_found() {
    let twice = [called(1, 30, 31), called(2, 32, 33), called(2, 34, 35)];
    assert_eq!(broken(&twice, &good_end(), Check::NumbersUnique), 1);
}

#[test]
fn a_latecomer_with_a_smaller_number_is_found() {
    let mut witnesses = [called(1, 30, 31), called(2, 32, 33), called(3, 34, 35)];
    assert_eq!(broken(&witnesses, &good_end(), Check::NumbersFollowArrival), 0);
    witnesses[0].join_asked = Some(secs(9));
    witnesses[0].joined = Some(secs(10));
    assert_eq!(broken(&witnesses, &good_end(), Check::NumbersFollowArrival), 1);
}

#[test]
fn joins_that_overlap_may_take_any_order() {
    let mut witnesses = [called(1, 30, 31), called(2, 32, 33)];
    witnesses[0].join_asked = Some(secs(1));
    witnesses[0].joined = Some(secs(5));
    witnesses[1].join_asked = Some(secs(0));
    assert_eq!(broken(&witnesses, &good_end(), Check::NumbersFollowArrival), 0);
}

#[test]
fn an_admission_out_of_line_is_found() {
    let check = Check::AdmissionFollowsLine;
    let swapped = [called(1, 60, 61), called(2, 30, 31)];
    assert_eq!(broken(&swapped, &good_end(), check), 1);
    // Two sockets may tell of one tick a little apart.
    let close = [called(1, 33, 34), called(2, 30, 31)];
    assert_eq!(broken(&close, &good_end(), check), 0);
    // Dated in line by the server, and only slow on its way.
    let mut slow = [called(1, 60, 61), called(2, 30, 31)];
    slow[0].iat = Some(1_030);
    assert_eq!(broken(&slow, &good_end(), check), 0);
    // Whoever was away when called hears of it late.
    let mut away = [called(1, 60, 61), called(2, 30, 31)];
    away[0].connected_since = Some(secs(59));
    assert_eq!(broken(&away, &good_end(), check), 0);
}

#[test]
fn someone_passed_over_is_found_even_when_never_called() {
    let mut skipped = visitor(1);
    skipped.last_waiting = Some(secs(90));
    let run = [skipped.clone(), called(2, 30, 31)];
    let unfinished = RunEnd { finished: false, ..good_end() };
    assert_eq!(broken(&run, &unfinished, Check::AdmissionFollowsLine), 1);
    // A lottery drew the order of those who were there before the opening.
    skipped.prequeue = true;
    assert_eq!(broken(&[skipped, called(2, 30, 31)], &unfinished, Check::AdmissionFollowsLine), 0);
}

#[test]
fn those_who_left_are_not_waited_for() {
    let mut gone = visitor(1);
    gone.left = true;
    gone.last_waiting = Some(secs(10));
    let run = [gone, called(2, 30, 31)];
    assert_eq!(broken(&run, &good_end(), Check::AdmissionFollowsLine), 0);
    assert_eq!(broken(&run, &good_end(), Check::StayersCalled), 0);
}

#[test]
fn a_stayer_nobody_called_is_found() {
    let run = [called(1, 30, 31), visitor(2)];
    assert_eq!(broken(&run, &good_end(), Check::StayersCalled), 1);
    let out_of_time = RunEnd { finished: false, ..good_end() };
    assert_eq!(broken(&run, &out_of_time, Check::StayersCalled), 0);
    assert_eq!(broken(&run, &RunEnd { stalled: true, ..out_of_time }, Check::StayersCalled), 1);
    let mut closed = visitor(2);
    closed.ended = Some((secs(40), Reason::RoomClosed));
    assert_eq!(broken(&[called(1, 30, 31), closed], &good_end(), Check::StayersCalled), 0);
}

#[test]
fn a_slot_that_stays_taken_is_found() {
    let run = [called(1, 30, 31), called(2, 32, 33)];
    let leaked = RunEnd { active_after: Some(1), ..good_end() };
    assert_eq!(broken(&run, &leaked, Check::SlotsComeBack), 1);
    assert_eq!(broken(&run, &RunEnd { active_before: 1, ..leaked.clone() }, Check::SlotsComeBack), 0);
    // With strangers in the line their slots prove nothing.
    let mut tally = Tally::default();
    judge(&[called(1, 30, 31), called(3, 32, 33)], &leaked, &mut tally);
    assert_eq!(tally.of(Check::SlotsComeBack).checked, 0);
}

#[test]
fn a_seat_sold_twice_or_not_listed_is_found() {
    let mut run = [called(1, 30, 31), called(2, 32, 33)];
    run[0].seat = Some("p/1".into());
    run[1].seat = Some("p/1".into());
    let end = RunEnd { sold: Some(["p/1".to_string()].into()), ..good_end() };
    assert_eq!(broken(&run, &end, Check::SeatSoldOnce), 1);
    run[1].seat = Some("p/2".into());
    assert_eq!(broken(&run, &end, Check::SeatSoldOnce), 0);
    assert_eq!(broken(&run, &end, Check::SoldSeatsListed), 1);
}
