//! Rule 7 and repeated keys: what single probes prove.

use super::{Check, Tally};

/// A token that must open nothing was shown to `what`.
pub fn judge_refusal(tally: &mut Tally, what: &str, status: u16) {
    tally.judge(Check::ForgedRefused, status == 401, || format!("{what} was answered {status}, not 401"));
}

/// A genuine pass was verified with the published keys.
pub fn judge_pass(tally: &mut Tally, number: u64, verified: Result<(), String>) {
    let holds = verified.is_ok();
    tally.judge(Check::PassVerifies, holds, || {
        format!("pass of number {number}: {}", verified.err().unwrap_or_default())
    });
}

/// A payment was sent again under its key.
pub fn judge_key_repeat(tally: &mut Tally, number: u64, first: &str, again: &str) {
    tally.judge(Check::KeyRepeatsAnswer, first == again, || {
        format!("number {number}: payment {first} became {again} under the same key")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_that_opens_is_found() {
        let mut tally = Tally::default();
        judge_refusal(&mut tally, "tampered ticket", 401);
        assert_eq!(tally.broken(), 0);
        judge_refusal(&mut tally, "tampered ticket", 200);
        judge_refusal(&mut tally, "no pass", 500);
        assert_eq!(tally.of(Check::ForgedRefused).broken, 2);
    }

    #[test]
    fn a_pass_that_does_not_verify_is_found() {
        let mut tally = Tally::default();
        judge_pass(&mut tally, 1, Ok(()));
        judge_pass(&mut tally, 2, Err("InvalidAudience".into()));
        let found = tally.of(Check::PassVerifies);
        assert_eq!((found.checked, found.broken), (2, 1));
        assert!(found.examples[0].contains("number 2"));
    }

    #[test]
    fn a_key_that_pays_twice_is_found() {
        let mut tally = Tally::default();
        judge_key_repeat(&mut tally, 1, "p1", "p1");
        judge_key_repeat(&mut tally, 1, "p1", "p2");
        assert_eq!(tally.of(Check::KeyRepeatsAnswer).broken, 1);
    }
}
