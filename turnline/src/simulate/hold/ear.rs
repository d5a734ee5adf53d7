//! What the visitors of one process hear, judged and measured as it comes.

use std::collections::BTreeMap;

use crowd::Listener;

use super::checks::{Check, Findings};
use super::clock::{self, Micros, SECOND};
use super::line::Line;
use super::measured::{Kind, Measured};
use super::pauses;
use super::polls::Answer;
use super::roll::{Link, Roll, Standing, Visitor};
use super::words::{self, Word};
use crate::simulate::chance::Chance;
use crate::simulate::message::{Mine, Position, Reason};

/// Within so many places every change is told at once; further back the server may slow down.
const NEAR: u64 = 200;
/// A channel that says nothing for so long says nothing.
const FIRST_WORD: Micros = 30 * SECOND;
/// A handshake that takes longer is given up and tried again.
const OPENING: Micros = 20 * SECOND;
/// What was overtaken so long ago tells nothing about a push any more.
const REMEMBERED: Micros = 120 * SECOND;

/// Listens for all visitors of one process.
pub struct Ear {
    pub roll: Roll,
    pub findings: Findings,
    pub measured: Measured,
    pub line: Line,
    pub messages: u64,
    pub bytes: u64,
    /// What was asked, where visitors ask.
    pub requests: u64,
    pub bytes_out: u64,
    poll_every: Option<Micros>,
    /// Handshakes that were not answered with a channel, and why.
    pub refused: BTreeMap<String, u64>,
    /// Channels that ended, by close code.
    pub closed: BTreeMap<String, u64>,
    /// Who wants to try again, and when.
    pub again: Vec<(u32, Micros)>,
    pub chance: Chance,
    /// When the storm came; absent before it, and again once all are back.
    pub storm: Option<Micros>,
}

impl Ear {
    pub fn new(visitors: u32, poll_every: Option<Micros>, chance: Chance) -> Ear {
        Ear {
            roll: Roll::new(visitors),
            findings: Findings::default(),
            measured: Measured::default(),
            line: Line::default(),
            messages: 0,
            bytes: 0,
            requests: 0,
            bytes_out: 0,
            poll_every,
            refused: BTreeMap::new(),
            closed: BTreeMap::new(),
            again: Vec::new(),
            chance,
            storm: None,
        }
    }

    /// The channel of `who` could not be had, or was lost: tries again after `pause`, elsewhere if there is.
    pub fn try_again(&mut self, who: u32, pause: Micros) {
        let now = clock::now();
        if let Some(visitor) = self.roll.get(who) {
            visitor.link = Link::Away;
            visitor.since = now;
            visitor.failures = visitor.failures.saturating_add(1);
            visitor.address = visitor.address.wrapping_add(1);
            self.again.push((who, now + pause));
        }
    }

    /// The answer to a question for a place: heard like a push, and asked again in due time.
    pub fn answered(&mut self, answer: &Answer<'_>) {
        let now = clock::now();
        self.messages += 1;
        self.bytes += answer.bytes;
        if answer.status != 200 {
            let why = if answer.status == 0 { "cut off".to_owned() } else { answer.status.to_string() };
            Ear::count(&mut self.refused, why);
            return self.unanswered(answer);
        }
        self.measured.took(Kind::Poll, answer.took);
        self.findings.judge(Check::TicketOpens, true, String::new);
        let mine = serde_json::from_slice::<Mine>(answer.body);
        let pause =
            mine.as_ref().ok().and_then(|mine| mine.poll_after_seconds).unwrap_or(1.0).clamp(0.5, 60.0);
        let pause = self.poll_every.unwrap_or((pause * SECOND as f64) as Micros);
        self.again.push((answer.who, now + pause));
        match mine.map(|mine| (mine.state, mine.reason)) {
            Ok((state, _)) if state == "waiting" => match serde_json::from_slice::<Position>(answer.body) {
                Ok(position) => self.told(answer.who, position, now),
                Err(error) => self.findings.judge(Check::PositionWhole, false, || error.to_string()),
            },
            Ok((_, Some(reason))) => self.ended(answer.who, reason, now),
            Ok((state, None)) => {
                if let Some(visitor) = self.roll.get(answer.who).filter(|_| state == "active") {
                    visitor.standing = Standing::Inside;
                }
                self.first_word(answer.who, now);
            }
            Err(error) => self.findings.judge(Check::PositionWhole, false, || error.to_string()),
        }
    }

    fn unanswered(&mut self, answer: &Answer<'_>) {
        let Some(visitor) = self.roll.get(answer.who) else { return };
        let number = visitor.number;
        if matches!(answer.status, 401 | 403 | 404 | 410) {
            (visitor.link, visitor.standing) = (Link::Done, Standing::Lost);
            return self.findings.judge(Check::TicketOpens, false, || {
                format!("number {number} asked and was answered {}", answer.status)
            });
        }
        visitor.failures = visitor.failures.saturating_add(1);
        let pause = pauses::after_refusal(answer.retry_after_seconds, visitor.failures, &mut self.chance);
        self.again.push((answer.who, clock::now() + pause));
    }

    /// Once a second: whose handshake hangs, whose channel is silent.
    pub fn overdue(&mut self, now: Micros) -> Vec<u32> {
        let mut hanging = Vec::new();
        let mut silent = Vec::new();
        for (who, visitor) in self.roll.all_mut() {
            let lasts = now.saturating_sub(visitor.since);
            match visitor.link {
                Link::Opening if lasts > OPENING => hanging.push(who),
                Link::Open if lasts > FIRST_WORD => {
                    // Broken once: what comes later is heard as usual.
                    visitor.link = Link::Told;
                    silent.push(visitor.number);
                }
                Link::Unjoined | Link::Away | Link::Opening | Link::Open | Link::Told | Link::Done => {}
            }
        }
        for number in silent {
            self.findings
                .judge(Check::HeardInTime, false, || format!("number {number} heard nothing in 30 s"));
        }
        self.line.forget_before(now.saturating_sub(REMEMBERED));
        hanging
    }

    /// At the end: whether anybody's position is older than `bound`.
    pub fn judge_freshness(&mut self, now: Micros, bound: Micros) {
        for (_, visitor) in self.roll.all() {
            let waits = visitor.standing == Standing::Waiting && visitor.link == Link::Told;
            let Some(progress) = visitor.progress().filter(|_| waits) else { continue };
            let age = self.line.outdated_since(progress).map_or(0, |since| now.saturating_sub(since));
            self.findings.judge(Check::FiguresFresh, age <= bound, || {
                let (number, position, age) = (visitor.number, visitor.position, clock::seconds(age));
                format!("number {number} still has position {position}, overtaken {age:.1} s ago")
            });
        }
    }

    fn count(counts: &mut BTreeMap<String, u64>, what: String) {
        *counts.entry(what).or_default() += 1;
    }

    fn told(&mut self, who: u32, told: Position, now: Micros) {
        self.findings.judge(Check::PositionWhole, told.position == told.ahead + 1, || {
            format!("position {} with {} ahead", told.position, told.ahead)
        });
        let Some(visitor) = self.roll.get(who) else { return };
        let before = *visitor;
        visitor.position = told.position;
        self.findings.judge(
            Check::PositionNeverGrows,
            before.position == 0 || told.position <= before.position,
            || {
                format!(
                    "number {} went from position {} to {}",
                    before.number, before.position, told.position
                )
            },
        );
        if before.standing == Standing::Inside {
            self.findings
                .judge(Check::PlaceKept, false, || format!("number {} is in line again", before.number));
        }
        let progress = before.number.saturating_sub(told.position);
        let first = self.line.heard(progress, now);
        if before.link != Link::Told || before.stormed {
            self.first_word(who, now);
        } else if before.position != told.position {
            self.news(&before, told.position, first, now);
        }
    }

    /// A push that told a new position on an open channel.
    fn news(&mut self, before: &Visitor, position: u64, first: Option<Micros>, now: Micros) {
        if let Some(first) = first {
            let late = now.saturating_sub(first);
            self.measured.took(Kind::PushAll, late);
            if position <= NEAR {
                self.measured.took(Kind::PushNear, late);
            }
            if self.storm.is_some() {
                self.measured.took(Kind::PushInStorm, late);
            }
        }
        if let Some(since) = before.progress().and_then(|progress| self.line.outdated_since(progress)) {
            self.measured.took(Kind::FigureAge, now.saturating_sub(since));
        }
    }

    /// `who` knows where they stand, on this channel.
    fn first_word(&mut self, who: u32, now: Micros) {
        let Some(visitor) = self.roll.get(who) else { return };
        if visitor.link == Link::Open {
            let took = now.saturating_sub(visitor.since);
            let number = visitor.number;
            self.measured.took(Kind::FirstWord, took);
            self.findings.judge(Check::HeardInTime, took <= FIRST_WORD, || {
                format!("number {number} heard nothing for {:.1} s", clock::seconds(took))
            });
        }
        visitor.link = Link::Told;
        visitor.failures = 0;
        if visitor.stormed {
            visitor.stormed = false;
            if let Some(storm) = self.storm {
                self.measured.took(Kind::Back, now.saturating_sub(storm));
            }
        }
    }

    fn ended(&mut self, who: u32, reason: Reason, now: Micros) {
        let Some(visitor) = self.roll.get(who) else { return };
        let (number, standing) = (visitor.number, visitor.standing);
        visitor.standing = Standing::Ended;
        self.first_word(who, now);
        if let Some(visitor) = self.roll.get(who) {
            visitor.link = Link::Done;
        }
        // Who was inside and did nothing runs out of time; who waits with an open channel ends by nothing.
        let operator = matches!(reason, Reason::RoomClosed | Reason::Revoked);
        self.findings.judge(Check::PlaceKept, operator || standing == Standing::Inside, || {
            format!("number {number} waited and was ended: {reason:?}")
        });
    }
}

impl Listener for Ear {
    fn opened(&mut self, who: u32) {
        let now = clock::now();
        let Some(visitor) = self.roll.get(who) else { return };
        let took = now.saturating_sub(visitor.since);
        (visitor.link, visitor.since) = (Link::Open, now);
        let number = visitor.number;
        self.measured.took(Kind::Connect, took);
        self.findings.judge(Check::TicketOpens, true, || format!("number {number}"));
    }

    fn heard(&mut self, who: u32, text: &[u8]) {
        let now = clock::now();
        self.messages += 1;
        self.bytes += text.len() as u64 + if text.len() < 126 { 2 } else { 4 };
        match words::read(text) {
            Ok(Word::Position(position)) => self.told(who, position, now),
            Ok(Word::Prequeue) => self.first_word(who, now),
            Ok(Word::Admitted) => {
                if let Some(visitor) = self.roll.get(who) {
                    visitor.standing = Standing::Inside;
                }
                self.first_word(who, now);
            }
            Ok(Word::Ended(reason)) => self.ended(who, reason, now),
            Ok(Word::Other) => {}
            Err(why) => self.findings.judge(Check::PositionWhole, false, || why),
        }
    }

    fn refused(&mut self, who: u32, status: u16, retry_after_seconds: Option<u64>) {
        let Some(visitor) = self.roll.get(who) else { return };
        let (number, failures) = (visitor.number, visitor.failures);
        match status {
            401 | 403 | 404 | 410 => {
                (visitor.link, visitor.standing) = (Link::Done, Standing::Lost);
                self.findings
                    .judge(Check::TicketOpens, false, || format!("number {number} was answered {status}"));
            }
            _ => {
                let pause = pauses::after_refusal(retry_after_seconds, failures, &mut self.chance);
                self.try_again(who, pause);
            }
        }
        let why = match (status, retry_after_seconds) {
            (101, _) => "a foreign accept key".to_owned(),
            (_, Some(_)) => format!("{status} with Retry-After"),
            (_, None) => status.to_string(),
        };
        Ear::count(&mut self.refused, why);
    }

    fn closed(&mut self, who: u32, code: Option<u16>) {
        let Some(visitor) = self.roll.get(who) else { return };
        let (link, failures) = (visitor.link, visitor.failures);
        let why = match (link, code) {
            (Link::Done, _) => return,
            (Link::Opening, None) => {
                Ear::count(&mut self.refused, "cut off".to_owned());
                None
            }
            (_, code) => Some(code.map_or_else(|| "no close frame".to_owned(), |code| code.to_string())),
        };
        if let Some(why) = why {
            Ear::count(&mut self.closed, why);
        }
        let pause = pauses::after_close(code, failures, &mut self.chance);
        self.try_again(who, pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ear(visitors: u32) -> Ear {
        let mut ear = Ear::new(visitors, None, Chance::new(1));
        for who in 0..visitors {
            ear.roll.joined(who, u64::from(who) + 10, "ticket");
            ear.opened(who);
        }
        ear
    }

    fn position(ear: &mut Ear, who: u32, position: u64) {
        let text = format!(
            r#"{{"type":"position","position":{position},"ahead":{},"waiting":9,"eta_seconds":null,"eta_low_seconds":null,"eta_high_seconds":null}}"#,
            position - 1
        );
        ear.heard(who, text.as_bytes());
    }

    fn broken(ear: &Ear) -> Vec<&'static str> {
        let report = ear.findings.report();
        report.iter().filter(|rule| rule.broken > 0).map(|rule| rule.check).collect()
    }

    #[test]
    fn a_line_that_moves_breaks_nothing() {
        let mut ear = ear(3);
        for step in 0..3 {
            for who in 0..3 {
                position(&mut ear, who, u64::from(who) + 10 - step);
            }
        }
        ear.heard(0, br#"{"type":"admitted","pass":"p","expires_at":"x","go_to":null}"#);
        ear.heard(0, br#"{"type":"ended","reason":"expired"}"#);
        ear.closed(0, Some(1000));
        ear.judge_freshness(clock::now(), SECOND);
        assert_eq!(broken(&ear), [""; 0]);
        assert!(ear.again.is_empty(), "who is through does not come again");
        assert_eq!((ear.roll.standings().ended, ear.messages), (1, 11));
        let pushes = ear.measured.report().into_iter().find(|latency| latency.name == "push_all").unwrap();
        assert_eq!(pushes.quantiles.count, 4, "three moved twice, one of them first each time");
    }

    #[test]
    fn a_position_that_grows_is_found_on_a_connection_and_after_the_storm() {
        let mut ear = ear(2);
        position(&mut ear, 0, 5);
        position(&mut ear, 0, 6);
        assert_eq!(broken(&ear), ["position_never_grows"]);
        position(&mut ear, 1, 5);
        ear.closed(1, None);
        assert_eq!(ear.again.len(), 1);
        ear.opened(1);
        position(&mut ear, 1, 6);
        assert_eq!(ear.findings.broken(), 2);
    }

    #[test]
    fn a_lost_place_a_refused_ticket_and_rubbish_are_found() {
        let mut ear = ear(4);
        ear.heard(0, br#"{"type":"ended","reason":"no_show"}"#);
        ear.refused(1, 401, None);
        ear.heard(2, br#"{"type":"position","position":2}"#);
        assert_eq!(broken(&ear), ["ticket_opens", "place_kept", "position_whole"]);
        ear.refused(3, 503, Some(2));
        assert_eq!(ear.findings.broken(), 3, "a busy server is no broken rule");
        let (who, at) = ear.again[0];
        assert!(who == 3 && at >= clock::now() + SECOND, "it comes again when told");
        assert_eq!(ear.refused.get("503 with Retry-After"), Some(&1));
    }

    #[test]
    fn a_silent_channel_and_an_old_figure_are_found() {
        let mut ear = ear(2);
        let later = clock::now() + FIRST_WORD + SECOND;
        assert_eq!(ear.overdue(later), [0; 0]);
        assert_eq!(broken(&ear), ["heard_in_time"]);
        position(&mut ear, 0, 1);
        position(&mut ear, 1, 1);
        ear.judge_freshness(clock::now() + 9 * SECOND, 10 * SECOND);
        assert_eq!(broken(&ear), ["heard_in_time"]);
        ear.judge_freshness(clock::now() + 11 * SECOND, 10 * SECOND);
        assert_eq!(broken(&ear), ["heard_in_time", "figures_fresh"]);
    }

    #[test]
    fn answers_to_questions_are_heard_like_pushes() {
        let mut ear = Ear::new(1, Some(3 * SECOND), Chance::new(1));
        ear.roll.joined(0, 7, "ticket");
        let body = |state: &str, position: u64| {
            format!(
                r#"{{"state":"{state}","number":7,"position":{position},"ahead":{},"waiting":9,"eta_seconds":1,"eta_low_seconds":1,"eta_high_seconds":1,"poll_after_seconds":20}}"#,
                position - 1
            )
        };
        let mut answer = |status, body: &str| {
            let body = body.as_bytes();
            ear.answered(&Answer { who: 0, took: 1, status, retry_after_seconds: None, body, bytes: 100 });
            let (_, at) = ear.again.pop().unwrap();
            at.saturating_sub(clock::now())
        };
        let pause = answer(200, &body("waiting", 4));
        assert!(pause <= 3 * SECOND && pause > 2 * SECOND, "as told to ask, not as the answer says: {pause}");
        answer(0, "");
        answer(200, &body("waiting", 5));
        answer(200, r#"{"state":"active","number":7,"pass":"p"}"#);
        assert_eq!(broken(&ear), ["position_never_grows"]);
        assert_eq!((ear.roll.standings().inside, ear.roll.standings().told, ear.bytes), (1, 1, 400));
    }
}
