//! A visitor's socket: frames go straight to it; of one that takes no more, the rest of the frame under way is
//! kept, and what there is to say then stays where newer figures replace older ones.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::outbox::{Outgoing, Unsent};

/// Frames kept for a full socket, in bytes: answers to pings of somebody who reads nothing are no reason for more.
const REST_MAX: usize = 16 * 1024;

pub struct Wire {
    stream: TcpStream,
    backlog: Option<Box<Backlog>>,
}

/// What a socket that is full has not taken.
struct Backlog {
    rest: Vec<u8>,
    unsent: Unsent,
    /// When the socket last took something.
    since: Instant,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    All,
    /// The socket is full: the rest goes when it can.
    Partly,
    /// The connection is broken.
    Gone,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, backlog: None }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub fn is_full(&self) -> bool {
        self.backlog.is_some()
    }

    /// Sends a frame, behind what could not be sent before.
    pub fn send(&mut self, frame: &[u8]) -> Sent {
        if let Some(backlog) = &mut self.backlog {
            backlog.rest.extend_from_slice(frame);
            return if backlog.rest.len() > REST_MAX { Sent::Gone } else { Sent::Partly };
        }
        match write(&mut self.stream, frame) {
            Ok(written) if written == frame.len() => Sent::All,
            Ok(written) => {
                self.backlog().rest = frame[written..].to_vec();
                Sent::Partly
            }
            Err(_) => Sent::Gone,
        }
    }

    /// Keeps a word until the socket takes more; true when it replaced an unsent older one.
    pub fn keep(&mut self, outgoing: Outgoing) -> bool {
        self.backlog().unsent.put(outgoing)
    }

    /// Sends on where it stopped.
    pub fn flush(&mut self) -> Sent {
        let Some(backlog) = &mut self.backlog else { return Sent::All };
        match write(&mut self.stream, &backlog.rest) {
            Ok(written) if written == backlog.rest.len() => {
                backlog.rest.clear();
                backlog.since = Instant::now();
                Sent::All
            }
            Ok(written) => {
                if written > 0 {
                    backlog.rest.drain(..written);
                    backlog.since = Instant::now();
                }
                Sent::Partly
            }
            Err(_) => Sent::Gone,
        }
    }

    /// After a flush that sent all: what to say next. The socket counts as empty again when there is nothing.
    pub fn next(&mut self) -> Option<Outgoing> {
        let outgoing = self.backlog.as_mut()?.unsent.take();
        if outgoing.is_none() {
            self.backlog = None;
        }
        outgoing
    }

    /// How long the socket has taken nothing.
    pub fn stuck(&self) -> Option<Duration> {
        self.backlog.as_ref().map(|backlog| backlog.since.elapsed())
    }

    /// Reads what is there; `Ok(0)` at the end of the stream, `None` when there is nothing for now.
    pub fn read(&mut self, into: &mut [u8]) -> Option<io::Result<usize>> {
        loop {
            match self.stream.read(into) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                read => return Some(read),
            }
        }
    }

    /// Ends our side; the visitor's may go on.
    pub fn shut_down(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_with(|| {
            Box::new(Backlog { rest: Vec::new(), unsent: Unsent::default(), since: Instant::now() })
        })
    }
}

/// How much of this the socket takes now.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
