//! Many events in a few lines for people to read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kernel::event::{Event, FaultFact, PaymentFact, PaymentRef};
use kernel::words::RoomId;

/// Faults that one message tells of.
const FAULTS_MAX: usize = 10;
/// Rooms that one message tells of.
const ROOMS_MAX: usize = 20;
/// Letters of a fault's own words.
const DETAIL_MAX: usize = 300;

#[derive(Debug, Default)]
pub struct Digest {
    rooms: BTreeMap<RoomId, Sales>,
    /// By room, place and code: what the first says, and how many they are.
    faults: BTreeMap<(RoomId, String, String), (String, u64)>,
    /// Events that are no news any more.
    pub old: u64,
}

#[derive(Debug, Default)]
struct Sales {
    paid: Taken,
    cancelled: Taken,
    /// By reason.
    failed: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Taken {
    count: u64,
    /// Minor units by currency.
    amounts: BTreeMap<String, i128>,
}

impl Digest {
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Payment(fact) => self.payment(fact),
            Event::Fault(FaultFact::FaultFound { room, place, code, detail }) => {
                let which = (room.clone(), place.clone(), code.clone());
                self.faults.entry(which).or_insert_with(|| (detail.clone(), 0)).1 += 1;
            }
            Event::Room(_) | Event::Reservation(_) | Event::Cancellation(_) | Event::Reply(_) => {}
        }
    }

    /// In Slack's markup, the faults first; nothing when there is nothing to say.
    pub fn text(&self) -> Option<String> {
        let mut lines = Vec::new();
        for ((room, place, code), (detail, count)) in self.faults.iter().take(FAULTS_MAX) {
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            let detail: String = detail.chars().take(DETAIL_MAX).collect();
            lines.push(format!(
                ":warning: *{room}* {} in {}{times}: {}",
                plain(code),
                plain(place),
                plain(&detail)
            ));
        }
        lines.extend(beyond(self.faults.len(), FAULTS_MAX, "kinds of faults"));
        lines.extend(self.rooms.iter().take(ROOMS_MAX).map(|(room, sales)| sales.line(room)));
        lines.extend(beyond(self.rooms.len(), ROOMS_MAX, "rooms"));
        if self.old > 0 {
            lines.push(format!("Older than an hour and not told one by one: {}", self.old));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn payment(&mut self, fact: &PaymentFact) {
        let payment = fact.payment();
        let sales = self.rooms.entry(payment.room.clone()).or_default();
        match fact {
            PaymentFact::PaymentCompleted(_) => sales.paid.take(payment),
            PaymentFact::PaymentCancelled(_) => sales.cancelled.take(payment),
            PaymentFact::PaymentFailed { reason, .. } => {
                *sales.failed.entry(reason.clone()).or_default() += 1;
            }
        }
    }
}

impl Sales {
    fn line(&self, room: &RoomId) -> String {
        let mut parts = Vec::new();
        parts.extend(self.paid.told("paid"));
        if !self.failed.is_empty() {
            let count: u64 = self.failed.values().sum();
            let reasons: Vec<_> =
                self.failed.iter().map(|(reason, count)| format!("{} {count}", plain(reason))).collect();
            parts.push(format!("{count} failed ({})", reasons.join(", ")));
        }
        parts.extend(self.cancelled.told("cancelled"));
        format!("*{room}*: {}", parts.join(", "))
    }
}

impl Taken {
    fn take(&mut self, payment: &PaymentRef) {
        self.count += 1;
        *self.amounts.entry(payment.currency.clone()).or_default() += i128::from(payment.amount_minor);
    }

    /// `12 paid (54000 EUR minor units)`
    fn told(&self, what: &str) -> Option<String> {
        let mut amounts = String::new();
        for (currency, minor) in &self.amounts {
            let between = if amounts.is_empty() { "" } else { ", " };
            let _ = write!(amounts, "{between}{minor} {} minor units", plain(currency));
        }
        (self.count > 0).then(|| format!("{} {what} ({amounts})", self.count))
    }
}

fn beyond(there: usize, shown: usize, what: &str) -> Option<String> {
    (there > shown).then(|| format!("and {} more {what}", there - shown))
}

/// Slack takes these three for markup; see "Escaping text" in its guide to formatting.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(room: &str, amount_minor: i64) -> PaymentRef {
        PaymentRef {
            room: RoomId::parse(room).unwrap(),
            payment_id: "p".into(),
            reservation_id: "r".into(),
            performance_id: "f".into(),
            seat_id: "s".into(),
            number: 1,
            amount_minor,
            currency: "EUR".into(),
        }
    }

    #[test]
    fn many_events_are_a_few_lines() {
        let mut digest = Digest::default();
        for amount in [100, 250] {
            digest.add(&Event::Payment(PaymentFact::PaymentCompleted(payment("hall", amount))));
        }
        digest.add(&Event::Payment(PaymentFact::PaymentCancelled(payment("hall", 100))));
        let reason = "insufficient_balance".to_owned();
        digest.add(&Event::Payment(PaymentFact::PaymentFailed { payment: payment("arena", 9), reason }));
        for detail in ["what < was", "that"] {
            digest.add(&Event::Fault(FaultFact::FaultFound {
                room: RoomId::parse("hall").unwrap(),
                place: "g".into(),
                code: "dead_letter".into(),
                detail: detail.into(),
            }));
        }
        digest.old = 3;
        assert_eq!(
            digest.text().unwrap(),
            ":warning: *hall* dead_letter in g (2 times): what &lt; was\n\
             *arena*: 1 failed (insufficient_balance 1)\n\
             *hall*: 2 paid (350 EUR minor units), 1 cancelled (100 EUR minor units)\n\
             Older than an hour and not told one by one: 3"
        );
        assert_eq!(Digest::default().text(), None);
    }

    #[test]
    fn a_message_stays_small() {
        let mut digest = Digest::default();
        for number in 0..1_000 {
            let room = format!("r{number}");
            digest.add(&Event::Payment(PaymentFact::PaymentCompleted(payment(&room, 1))));
            digest.add(&Event::Fault(FaultFact::FaultFound {
                room: RoomId::parse(&room).unwrap(),
                place: "g".into(),
                code: "c".into(),
                detail: "x".repeat(10_000),
            }));
        }
        let text = digest.text().unwrap();
        assert!(text.len() < 8_000, "{} bytes", text.len());
        assert!(
            text.contains("and 990 more kinds of faults") && text.contains("and 980 more rooms"),
            "{text}"
        );
    }
}
