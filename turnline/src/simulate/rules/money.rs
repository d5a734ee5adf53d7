//! Rule 5 for one buyer: balance, ledger and payment tell one story.

use super::{Check, Tally};

/// One entry of a balance's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerLine {
    /// Minor units, signed.
    pub amount: i64,
    pub kind: String,
}

/// What a buyer reads about their own money, beside what they did. Amounts in minor units.
#[derive(Clone, Debug)]
pub struct Audit {
    pub number: u64,
    pub balance: i64,
    pub ledger: Vec<LedgerLine>,
    /// What was charged; none when a charge was never answered.
    pub charged: Option<i64>,
    /// What a completed payment took; 0 without one, none when a payment was never answered.
    pub paid: Option<i64>,
    /// Whether the reservation reads as confirmed, when there is one.
    pub confirmed: Option<bool>,
}

/// Checks one buyer's money.
pub fn judge_audit(tally: &mut Tally, audit: &Audit) {
    let Audit { number, balance, ledger, charged, paid, confirmed } = audit;
    let sum: i64 = ledger.iter().map(|line| line.amount).sum();
    tally.judge(Check::BalanceIsLedger, *balance == sum && *balance >= 0, || {
        format!("number {number}: balance {balance}, its ledger adds up to {sum}")
    });
    let of_kind = |kind: &str| ledger.iter().filter(|l| l.kind == kind).map(|l| l.amount).sum::<i64>();
    if let Some(charged) = charged {
        let booked = of_kind("charge");
        tally.judge(Check::MoneyIffPaid, booked == *charged, || {
            format!("number {number}: charged {charged}, the ledger has {booked}")
        });
    }
    if let Some(paid) = paid {
        let taken = -(of_kind("payment") + of_kind("refund"));
        tally.judge(Check::MoneyIffPaid, taken == *paid, || {
            format!("number {number}: paid {paid}, the ledger says {taken} was taken")
        });
        if let Some(confirmed) = confirmed {
            // A free seat proves nothing either way about money, so only taken money is compared.
            tally.judge(Check::MoneyIffPaid, *confirmed || taken <= 0, || {
                format!("number {number}: {taken} was taken and the seat is not confirmed")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(amount: i64, kind: &str) -> LedgerLine {
        LedgerLine { amount, kind: kind.into() }
    }

    fn fair() -> Audit {
        Audit {
            number: 1,
            balance: 0,
            ledger: vec![line(500, "charge"), line(-500, "payment")],
            charged: Some(500),
            paid: Some(500),
            confirmed: Some(true),
        }
    }

    fn broken(audit: &Audit) -> (u64, u64) {
        let mut tally = Tally::default();
        judge_audit(&mut tally, audit);
        (tally.of(Check::BalanceIsLedger).broken, tally.of(Check::MoneyIffPaid).broken)
    }

    #[test]
    fn a_fair_account_is_fair() {
        assert_eq!(broken(&fair()), (0, 0));
        let refunded = Audit {
            balance: 500,
            ledger: vec![line(500, "charge"), line(-500, "payment"), line(500, "refund")],
            paid: Some(0),
            confirmed: Some(false),
            ..fair()
        };
        assert_eq!(broken(&refunded), (0, 0));
        assert_eq!(broken(&Audit { charged: None, paid: None, ..fair() }), (0, 0));
    }

    #[test]
    fn a_balance_off_its_ledger_or_below_zero_is_found() {
        assert_eq!(broken(&Audit { balance: 1, ..fair() }), (1, 0));
        let debt = Audit { balance: -500, ledger: vec![line(-500, "payment")], charged: Some(0), ..fair() };
        assert_eq!(broken(&debt), (1, 0));
    }

    #[test]
    fn money_taken_twice_or_for_nothing_is_found() {
        let twice = Audit {
            ledger: vec![line(1000, "charge"), line(-500, "payment"), line(-500, "payment")],
            charged: Some(1000),
            ..fair()
        };
        assert_eq!(broken(&twice), (0, 1));
        assert_eq!(broken(&Audit { paid: Some(0), confirmed: Some(false), ..fair() }), (0, 2));
        assert_eq!(broken(&Audit { confirmed: Some(false), ..fair() }), (0, 1));
        let charged_twice =
            Audit { balance: 500, ledger: vec![line(1000, "charge"), line(-500, "payment")], ..fair() };
        assert_eq!(broken(&charged_twice), (0, 1));
    }
}
