//! Asks a sample of tickets where they stand, and holds the answers against what their channels told.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::checks::{Check, Findings};
use super::clock::{self, Micros};
use super::driver::{Asking, Look};
use super::protocol::Asked;
use crate::simulate::chance::Chance;
use crate::simulate::http::{Api, Call};
use crate::simulate::message::{Mine, Position};

/// Pushes and answers travel different ways: both are asked again until they have met.
const EVERY: Duration = Duration::from_millis(500);
const AT_ONCE: usize = 32;

/// What one ticket was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub number: u64,
    /// Absent for who does not wait (any more).
    pub position: Option<u64>,
}

/// Two ways to the same figure that never grows. Neither is ahead of the other for good: each must come down
/// to where the other was when both were first looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    Open {
        pushed: u64,
        answered: u64,
        push_came: bool,
        answer_came: bool,
    },
    Agreed,
    /// Called, ended or cut off meanwhile.
    NotWaiting,
}

impl Agreement {
    pub fn new(pushed: Option<u64>, answered: Option<u64>) -> Agreement {
        match (pushed, answered) {
            (Some(pushed), Some(answered)) => {
                Agreement::Open { pushed, answered, push_came: false, answer_came: false }
                    .seen(pushed, answered)
            }
            _ => Agreement::NotWaiting,
        }
    }

    pub fn again(self, now_pushed: Option<u64>, now_answered: Option<u64>) -> Agreement {
        match (self, now_pushed, now_answered) {
            (Agreement::Open { .. }, Some(pushed), Some(answered)) => self.seen(pushed, answered),
            (Agreement::Open { .. }, _, _) => Agreement::NotWaiting,
            (Agreement::Agreed | Agreement::NotWaiting, _, _) => self,
        }
    }

    fn seen(self, now_pushed: u64, now_answered: u64) -> Agreement {
        let Agreement::Open { pushed, answered, push_came, answer_came } = self else { return self };
        let push_came = push_came || now_pushed <= answered;
        let answer_came = answer_came || now_answered <= pushed;
        match push_came && answer_came {
            true => Agreement::Agreed,
            false => Agreement::Open { pushed, answered, push_came, answer_came },
        }
    }
}

/// Asks until everybody agrees, for at most `bound`. `look` tells what the channels said last.
pub async fn ask(
    api: &Api,
    sample: &[Asking],
    bound: Micros,
    findings: &mut Findings,
    look: impl AsyncFn() -> Vec<Look>,
) -> Asked {
    let began = clock::now();
    let mut asked = Asked { asked: sample.len() as u64, ..Asked::default() };
    let mut agreements: Vec<Agreement> = Vec::new();
    loop {
        let pushed = look().await;
        let answers = answers(api, sample).await;
        if agreements.is_empty() {
            asked.progress = spread(&answers);
            for (asking, answer) in sample.iter().zip(&answers) {
                let Some(answer) = answer else { continue };
                findings.judge(Check::NumberKept, answer.number == asking.number, || {
                    format!("number {} was asked after and came as {}", asking.number, answer.number)
                });
            }
        }
        let both = pushed
            .iter()
            .zip(&answers)
            .map(|(look, answer)| (look.position, answer.as_ref().and_then(|answer| answer.position)));
        agreements = match agreements.is_empty() {
            true => both.map(|(pushed, answered)| Agreement::new(pushed, answered)).collect(),
            false => agreements
                .iter()
                .zip(both)
                .map(|(was, (pushed, answered))| was.again(pushed, answered))
                .collect(),
        };
        asked.took = clock::now().saturating_sub(began);
        let open = agreements.iter().any(|agreement| matches!(agreement, Agreement::Open { .. }));
        if !open || asked.took > bound {
            break;
        }
        tokio::time::sleep(EVERY).await;
    }
    for (asking, agreement) in sample.iter().zip(&agreements) {
        if *agreement != Agreement::NotWaiting {
            findings.judge(Check::FiguresAgree, *agreement == Agreement::Agreed, || {
                format!("number {}: {agreement:?} after {:.1} s", asking.number, clock::seconds(asked.took))
            });
        }
    }
    asked
}

async fn answers(api: &Api, sample: &[Asking]) -> Vec<Option<Answered>> {
    let calls = stream::iter(sample).map(|asking| answer(api, &asking.ticket));
    calls.buffered(AT_ONCE).collect().await
}

async fn answer(api: &Api, ticket: &str) -> Option<Answered> {
    let call = Call::get(api.room_path("/tickets/me")).bearer(ticket);
    let answer = api.call(call, &mut Chance::new(clock::now())).await.ok()?;
    let mine: Mine = answer.read().ok()?;
    let place = answer.read::<Position>().ok().filter(|_| mine.state == "waiting");
    Some(Answered { number: mine.number, position: place.map(|place| place.position) })
}

/// Smallest and largest `number - position`.
fn spread(answers: &[Option<Answered>]) -> Option<(u64, u64)> {
    let progress = |answer: &Answered| Some(answer.number.saturating_sub(answer.position?));
    let all = || answers.iter().flatten().filter_map(progress);
    Some((all().min()?, all().max()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_figures_agree_at_once_and_unequal_ones_when_each_came_to_the_other() {
        assert_eq!(Agreement::new(Some(5), Some(5)), Agreement::Agreed);
        let behind = Agreement::new(Some(9), Some(5));
        assert!(matches!(behind, Agreement::Open { push_came: false, answer_came: true, .. }), "{behind:?}");
        assert!(matches!(behind.again(Some(6), Some(4)), Agreement::Open { .. }));
        assert_eq!(behind.again(Some(5), Some(3)), Agreement::Agreed);
        let ahead = Agreement::new(Some(5), Some(9));
        assert!(matches!(ahead.again(Some(5), Some(9)), Agreement::Open { .. }), "they never met");
        assert_eq!(ahead.again(Some(2), Some(5)), Agreement::Agreed);
        assert_eq!(ahead.again(Some(2), None), Agreement::NotWaiting);
        assert_eq!(Agreement::new(None, Some(1)).again(Some(1), Some(1)), Agreement::NotWaiting);
    }

    #[test]
    fn a_plain_line_answers_one_progress() {
        let answered = |number, position| Some(Answered { number, position });
        assert_eq!(
            spread(&[answered(10, Some(4)), None, answered(11, Some(5)), answered(3, None)]),
            Some((6, 6))
        );
        assert_eq!(spread(&[None, answered(3, None)]), None);
    }
}
