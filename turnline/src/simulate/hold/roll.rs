//! Who waits: some forty bytes a visitor, and the ticket.

use super::clock::Micros;

/// Where a visitor's channel is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// There is no ticket yet.
    #[default]
    Unjoined,
    /// A pause before the next attempt.
    Away,
    Opening,
    /// Open, and no word of the place yet.
    Open,
    Told,
    /// Nothing is to be heard any more: ended, or given up.
    Done,
}

/// How the visitor stands in the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Waiting,
    Inside,
    Ended,
    /// Never joined, or the ticket was refused.
    Lost,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Visitor {
    pub number: u64,
    /// The last one told; 0 before the first.
    pub position: u64,
    /// Since when `link` is what it is.
    pub since: Micros,
    ticket_start: u32,
    ticket_length: u16,
    /// Attempts that went wrong in a row.
    pub failures: u8,
    pub link: Link,
    pub standing: Standing,
    /// Was cut off by the storm and has not heard of its place since.
    pub stormed: bool,
    /// Which of the addresses it tries next.
    pub address: u8,
}

impl Visitor {
    /// How far the line was when this visitor heard last.
    pub fn progress(&self) -> Option<u64> {
        (self.position > 0).then(|| self.number.saturating_sub(self.position))
    }
}

/// Counts over all visitors of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    pub joined: u64,
    /// Channels that are open.
    pub open: u64,
    /// Who knows all there is to know: heard of the place on this channel, or needs none any more.
    pub told: u64,
    pub inside: u64,
    pub ended: u64,
    pub lost: u64,
    pub stormed: u64,
}

/// All visitors of a process, by index.
pub struct Roll {
    visitors: Vec<Visitor>,
    /// All tickets, one behind the other.
    tickets: String,
}

impl Roll {
    pub fn new(visitors: u32) -> Roll {
        Roll { visitors: vec![Visitor::default(); visitors as usize], tickets: String::new() }
    }

    pub fn joined(&mut self, who: u32, number: u64, ticket: &str) {
        if self.tickets.is_empty() {
            // All are of about the same length; doubling would leave half of it unused.
            self.tickets.reserve_exact((ticket.len() + 2) * self.visitors.len());
        }
        let start = u32::try_from(self.tickets.len()).unwrap_or(u32::MAX);
        self.tickets.push_str(ticket);
        if let Some(visitor) = self.visitors.get_mut(who as usize) {
            visitor.number = number;
            visitor.ticket_start = start;
            visitor.ticket_length = u16::try_from(ticket.len()).unwrap_or(u16::MAX);
            visitor.link = Link::Away;
        }
    }

    pub fn get(&mut self, who: u32) -> Option<&mut Visitor> {
        self.visitors.get_mut(who as usize)
    }

    pub fn ticket(&self, who: u32) -> Option<&str> {
        let visitor = self.visitors.get(who as usize).filter(|visitor| visitor.ticket_length > 0)?;
        let start = visitor.ticket_start as usize;
        self.tickets.get(start..start + usize::from(visitor.ticket_length))
    }

    pub fn all(&self) -> impl Iterator<Item = (u32, &Visitor)> {
        (0..).zip(&self.visitors)
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = (u32, &mut Visitor)> {
        (0..).zip(&mut self.visitors)
    }

    /// About `count` of those who wait with a channel, evenly spread.
    pub fn sample(&self, count: usize) -> Vec<u32> {
        let waiting = |(_, visitor): &(u32, &Visitor)| {
            visitor.standing == Standing::Waiting && visitor.link == Link::Told && visitor.position > 0
        };
        let waiting: Vec<u32> = self.all().filter(waiting).map(|(who, _)| who).collect();
        let step = waiting.len().div_ceil(count.max(1)).max(1);
        waiting.into_iter().step_by(step).collect()
    }

    /// Bytes kept for all visitors.
    pub fn kept_bytes(&self) -> usize {
        self.visitors.capacity() * size_of::<Visitor>() + self.tickets.capacity()
    }

    pub fn standings(&self) -> Standings {
        let mut counts = Standings::default();
        for visitor in &self.visitors {
            counts.joined += u64::from(visitor.number > 0);
            counts.open += u64::from(matches!(visitor.link, Link::Open | Link::Told));
            counts.told += u64::from(matches!(visitor.link, Link::Told | Link::Done));
            counts.inside += u64::from(visitor.standing == Standing::Inside);
            counts.ended += u64::from(visitor.standing == Standing::Ended);
            counts.lost += u64::from(visitor.standing == Standing::Lost);
            counts.stormed += u64::from(visitor.stormed && visitor.link != Link::Done);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_stays_small() {
        assert!(size_of::<Visitor>() <= 40, "{}", size_of::<Visitor>());
    }

    #[test]
    fn tickets_are_kept_apart() {
        let mut roll = Roll::new(3);
        roll.joined(2, 7, "seven");
        roll.joined(0, 8, "number-eight");
        assert_eq!(
            (roll.ticket(0), roll.ticket(1), roll.ticket(2)),
            (Some("number-eight"), None, Some("seven"))
        );
        assert_eq!(roll.standings(), Standings { joined: 2, ..Standings::default() });
    }

    #[test]
    fn a_sample_is_of_those_who_wait_and_know() {
        let mut roll = Roll::new(1000);
        for who in 0..1000 {
            roll.joined(who, u64::from(who) + 1, "t");
        }
        for (who, visitor) in roll.all_mut().filter(|(who, _)| who % 2 == 0) {
            (visitor.link, visitor.position) = (Link::Told, u64::from(who) + 1);
        }
        let sample = roll.sample(100);
        assert_eq!(sample.len(), 100);
        assert!(sample.iter().all(|who| who % 2 == 0));
        assert_eq!(roll.sample(9_999).len(), 500);
        assert!(Roll::new(4).sample(2).is_empty());
    }
}
