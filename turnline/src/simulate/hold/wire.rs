//! How the visitors of a process hear: over channels of their own, or by asking over a pool of connections.

use std::io;
use std::time::Duration;

use crowd::{Crowd, Handshake};

use super::clock::{Micros, SECOND};
use super::ear::Ear;
use super::pauses;
use super::polls::Polls;
use super::protocol::Share;
use super::roll::Link;

/// One of the two ways.
pub enum Wire {
    Channels(Box<Crowd<Ear>>),
    Polls { polls: Polls, ear: Box<Ear> },
}

/// What came of a visitor whose turn it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Under way, or not to be begun any more.
    Yes,
    /// All connections are busy: again in a moment.
    Busy,
}

impl Wire {
    /// # Errors
    /// When the system has no epoll to give.
    pub fn new(share: &Share, ear: Ear) -> io::Result<Wire> {
        Ok(match share.polling {
            false => Wire::Channels(Box::new(Crowd::new(ear)?)),
            true => Wire::Polls { polls: Polls::new(share.channels.clone())?, ear: Box::new(ear) },
        })
    }

    pub fn ear(&mut self) -> &mut Ear {
        match self {
            Wire::Channels(crowd) => crowd.listener(),
            Wire::Polls { ear, .. } => ear,
        }
    }

    /// Waits at most `timeout`, and lets everybody hear what came.
    ///
    /// # Errors
    /// When the epoll fails.
    pub fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        match self {
            Wire::Channels(crowd) => crowd.turn(timeout),
            Wire::Polls { polls, ear } => polls.turn(timeout, |answer| ear.answered(&answer)),
        }
    }

    /// The channel of `who` is opened, or their place asked for.
    pub fn begin(&mut self, who: u32, share: &Share, now: Micros) -> Begun {
        let ear = self.ear();
        let Some(visitor) = ear.roll.get(who) else { return Begun::Yes };
        let (link, failures, address) = (visitor.link, visitor.failures, visitor.address);
        if !matches!(link, Link::Away | Link::Told) {
            return Begun::Yes;
        }
        let Some(ticket) = ear.roll.ticket(who).map(str::to_owned) else { return Begun::Yes };
        let begun = match self {
            Wire::Polls { polls, .. } if !polls.free() => return Begun::Busy,
            Wire::Polls { polls, ear } => polls.ask(who, &ticket).map(|bytes| {
                ear.requests += 1;
                ear.bytes_out += bytes;
            }),
            Wire::Channels(crowd) => {
                if let Some(visitor) = crowd.listener().roll.get(who) {
                    (visitor.link, visitor.since) = (Link::Opening, now);
                }
                let turn = who as usize + usize::from(address);
                let source = share.sources.get(turn % share.sources.len().max(1)).copied();
                let Some(channels) = share.channels.get(turn % share.channels.len().max(1)) else {
                    return Begun::Yes;
                };
                let ticket = format!("ticket.{ticket}");
                let request = Handshake::new(&channels.host, &channels.path, &["turnline.v1", &ticket]);
                crowd.open(who, channels.address, source, &request)
            }
        };
        if let Err(error) = begun {
            let ear = self.ear();
            let pause = pauses::after_refusal(None, failures, &mut ear.chance).max(SECOND / 10);
            *ear.refused.entry(error.to_string()).or_default() += 1;
            ear.try_again(who, pause);
        }
        Begun::Yes
    }

    /// Bytes kept for the visitors, beside what their number does not change.
    pub fn kept_bytes(&mut self) -> usize {
        let sockets = match self {
            Wire::Channels(crowd) => crowd.kept_bytes(),
            Wire::Polls { .. } => 0,
        };
        sockets + self.ear().roll.kept_bytes()
    }

    pub fn drop_socket(&mut self, who: u32) {
        if let Wire::Channels(crowd) = self {
            crowd.drop_socket(who);
        }
    }

    pub fn drop_all(&mut self) {
        if let Wire::Channels(crowd) = self {
            crowd.drop_all();
        }
    }
}
