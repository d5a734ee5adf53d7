//! What a connection shows its visitor of the line, and what of it is worth saying again. Pure.

use kernel::outflow::eta;
use kernel::words::Timestamp;

/// The figures of somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Before the opening: nobody has a position.
    Prequeue { opens_at: Option<Timestamp>, waiting: u64 },
    /// `position` 1 is next; `per_hour` visitors are called an hour.
    Waiting { position: u64, waiting: u64, per_hour: u64 },
}

/// What a new view is to somebody who was told an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Same,
    Told,
    /// The position would grow, which must never be told: a fault of ours.
    Grew,
}

pub fn change(told: Option<&View>, now: &View) -> Change {
    match (told, now) {
        (Some(View::Waiting { position: told, .. }), View::Waiting { position: now, .. }) if now > told => {
            Change::Grew
        }
        // A room that opened does not go back before its opening.
        (Some(View::Waiting { .. }), View::Prequeue { .. }) => Change::Same,
        (Some(told), now) if told == now || look_alike(told, now) => Change::Same,
        (
            None | Some(View::Prequeue { .. } | View::Waiting { .. }),
            View::Prequeue { .. } | View::Waiting { .. },
        ) => Change::Told,
    }
}

/// Whether a visitor sees no difference: another outflow may come to the same times.
fn look_alike(told: &View, now: &View) -> bool {
    let shown = |view: &View| match *view {
        View::Waiting { position, waiting, per_hour } => Some((position, waiting, eta(position, per_hour))),
        View::Prequeue { .. } => None,
    };
    shown(told).is_some_and(|told| Some(told) == shown(now))
}

/// Seconds left, when the end of the active time is near enough to be announced: `most_seconds` before it,
/// or a fifth of the whole time if that is less.
pub fn warning(expires_at: Timestamp, active_seconds: u64, most_seconds: u64, now: Timestamp) -> Option<u64> {
    let left_ms = expires_at.since(now);
    let notice_ms = most_seconds.saturating_mul(1000).min(active_seconds.saturating_mul(1000) / 5);
    (left_ms > 0 && left_ms <= notice_ms).then(|| left_ms.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn only_what_changed_is_told_and_no_position_grows() {
        let at = |position, waiting| View::Waiting { position, waiting, per_hour: 60 };
        let before = View::Prequeue { opens_at: Some(T0), waiting: 3 };
        for (told, now, expected) in [
            (None, at(9, 20), Change::Told),
            (None, before, Change::Told),
            (Some(at(9, 20)), at(9, 20), Change::Same),
            (Some(at(9, 20)), at(9, 21), Change::Told),
            (Some(at(9, 20)), View::Waiting { position: 9, waiting: 20, per_hour: 6000 }, Change::Told),
            // A minute more or less in an hour: the same times.
            (
                Some(View::Waiting { position: 1, waiting: 20, per_hour: 3_600_000 }),
                View::Waiting { position: 1, waiting: 20, per_hour: 3_600_001 },
                Change::Same,
            ),
            (Some(at(9, 20)), at(8, 19), Change::Told),
            (Some(at(9, 20)), at(10, 20), Change::Grew),
            (Some(before), before, Change::Same),
            (Some(before), View::Prequeue { opens_at: Some(T0), waiting: 4 }, Change::Told),
            (Some(before), at(1_000, 1_000), Change::Told),
            (Some(at(9, 20)), before, Change::Same),
        ] {
            assert_eq!(change(told.as_ref(), &now), expected, "{told:?} then {now:?}");
        }
    }

    #[test]
    fn the_end_is_announced_once_it_is_near() {
        let ends = T0.plus_seconds(300);
        assert_eq!(warning(ends, 300, 60, ends.minus_millis(60_001)), None);
        assert_eq!(warning(ends, 300, 60, ends.minus_millis(60_000)), Some(60));
        assert_eq!(warning(ends, 300, 60, ends.minus_millis(1)), Some(1));
        assert_eq!(warning(ends, 300, 60, ends), None);
        // A fifth of a short time.
        assert_eq!(warning(ends, 30, 60, ends.minus_millis(7_000)), None);
        assert_eq!(warning(ends, 30, 60, ends.minus_millis(6_000)), Some(6));
    }
}
