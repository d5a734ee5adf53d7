//! The loop of a crowd: one epoll, one read buffer, and the calls to who listens.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::answer::{self, Answer};
use crate::frames::{self, Front, Taken};
use crate::handshake::{Handshake, Key};
use crate::masked::{Kind, Masker, PAYLOAD_MAX_BYTES};
use crate::slot::{Slot, Stage};

const EVENTS_A_TURN: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// Hears what happens on the sockets; called from within [`Crowd::turn`].
pub trait Listener {
    /// The server agreed to the upgrade, with the answer that belongs to our key.
    fn opened(&mut self, who: u32);
    /// One whole text message.
    fn heard(&mut self, who: u32, text: &[u8]);
    /// The upgrade was answered with something else. Status 101 means that its accept key was wrong.
    fn refused(&mut self, who: u32, status: u16, retry_after_seconds: Option<u64>);
    /// The socket is gone; `None` without a close frame, or with one that gives no code.
    fn closed(&mut self, who: u32, code: Option<u16>);
}

/// Many WebSockets driven by one thread.
///
/// Visitors are called by small numbers: memory goes with the largest one in use.
pub struct Crowd<L> {
    poll: Poll,
    events: Events,
    sockets: Sockets<L>,
}

struct Sockets<L> {
    slots: Vec<Slot>,
    buffer: Box<[u8]>,
    masker: Masker,
    seed: u64,
    listener: L,
}

impl<L: Listener> Crowd<L> {
    /// # Errors
    /// When the system has no epoll or no randomness to give.
    pub fn new(listener: L) -> io::Result<Crowd<L>> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let seed = u64::from_le_bytes(seed);
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        let sockets = Sockets { slots: Vec::new(), buffer, masker: Masker::new(seed), seed, listener };
        Ok(Crowd { poll: Poll::new()?, events: Events::with_capacity(EVENTS_A_TURN), sockets })
    }

    /// Begins to connect `who` to `to`, from the local address `from` when one is given; the rest is
    /// heard in later turns. A socket that `who` still has is dropped first.
    ///
    /// With `from`, Linux looks for a free port at each call, through the even ones first: beyond some
    /// 10,000 sockets an address that takes milliseconds, so spread them over more addresses.
    ///
    /// # Errors
    /// When the system refuses the socket at once: no descriptor or local port left, nobody listening.
    pub fn open(
        &mut self,
        who: u32,
        to: SocketAddr,
        from: Option<IpAddr>,
        request: &Handshake,
    ) -> io::Result<()> {
        self.drop_socket(who);
        let (mut socket, connected) = connect(to, from)?;
        let slot = self.sockets.slot(who);
        slot.generation = slot.generation.wrapping_add(1);
        let generation = slot.generation;
        let request = request.bytes(self.sockets.key(who, generation));
        if connected {
            write_whole(&mut socket, &request)?;
        }
        let interest = if connected { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        self.poll.registry().register(&mut socket, token(who, generation), interest)?;
        let slot = self.sockets.slot(who);
        slot.socket = Some(socket);
        if connected {
            slot.stage = Stage::Answering;
        } else {
            slot.keep(&request);
        }
        Ok(())
    }

    /// Sends one text; false when there is no open socket, it cannot take the text now, or the text is
    /// longer than 4 KiB.
    pub fn say(&mut self, who: u32, text: &str) -> bool {
        let Some(slot) = self.sockets.slots.get_mut(who as usize) else { return false };
        if slot.stage != Stage::Open || text.len() > PAYLOAD_MAX_BYTES {
            return false;
        }
        let frame = self.sockets.masker.frame(Kind::Text, text.as_bytes());
        slot.socket.as_mut().is_some_and(|socket| write_whole(socket, &frame).is_ok())
    }

    /// Ends the socket of `who` without a close frame, as a cut network does; nothing more is heard of it.
    pub fn drop_socket(&mut self, who: u32) {
        if let Some(socket) = self.sockets.slots.get_mut(who as usize).and_then(Slot::leave) {
            cut(socket);
        }
    }

    /// Ends all sockets, in no time worth mentioning.
    pub fn drop_all(&mut self) {
        self.sockets.slots.iter_mut().filter_map(Slot::leave).for_each(cut);
    }

    /// Waits at most `timeout` for something to happen, then reads what came and calls the listener.
    ///
    /// # Errors
    /// When the epoll itself fails; what befalls a socket is told to the listener.
    pub fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            self.sockets.ready(event);
        }
        Ok(())
    }

    pub fn listener(&mut self) -> &mut L {
        &mut self.sockets.listener
    }

    /// Bytes kept for all sockets now, beside the one read buffer and the kernel's part.
    pub fn kept_bytes(&self) -> usize {
        let unused = self.sockets.slots.capacity() - self.sockets.slots.len();
        self.sockets.slots.iter().map(Slot::kept_bytes).sum::<usize>() + unused * size_of::<Slot>()
    }
}

/// What is to become of a socket after some of its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Gone,
}

impl<L: Listener> Sockets<L> {
    fn slot(&mut self, who: u32) -> &mut Slot {
        let at = who as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Slot::default);
        }
        &mut self.slots[at]
    }

    fn key(&self, who: u32, generation: u32) -> Key {
        Key { seed: self.seed, who, generation }
    }

    fn ready(&mut self, event: &Event) {
        let (who, generation) = (event.token().0 as u32, (event.token().0 >> 32) as u32);
        let Some(slot) = self.slots.get_mut(who as usize) else { return };
        // A socket that was dropped may have left an event behind; its visitor may have a new one.
        if slot.generation != generation || slot.socket.is_none() {
            return;
        }
        if slot.stage == Stage::Connecting && !self.connected(who, event) {
            return;
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(who, event.is_read_closed() || event.is_error());
        }
    }

    /// Sends the request once the connection stands; false while it does not, or never will.
    fn connected(&mut self, who: u32, event: &Event) -> bool {
        if !(event.is_writable() || event.is_error() || event.is_read_closed()) {
            return false;
        }
        let Some(slot) = self.slots.get_mut(who as usize) else { return false };
        let request = slot.with_kept(&[]).unwrap_or_default();
        slot.keep(&[]);
        let Some(socket) = &mut slot.socket else { return false };
        let standing = matches!(socket.take_error(), Ok(None));
        if standing && write_whole(socket, &request).is_ok() {
            slot.stage = Stage::Answering;
            return true;
        }
        self.give_up(who, None);
        false
    }

    fn read(&mut self, who: u32, to_the_end: bool) {
        loop {
            let Some(slot) = self.slots.get_mut(who as usize) else { return };
            let Some(socket) = &mut slot.socket else { return };
            let length = match socket.read(&mut self.buffer) {
                Ok(0) => return self.give_up(who, None),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.give_up(who, None),
            };
            if self.take(who, length) == Fate::Gone {
                return;
            }
            // A short read has emptied the socket (epoll(7)), which saves asking again.
            if length < self.buffer.len() && !to_the_end {
                return;
            }
        }
    }

    /// Works through the first `length` bytes of the buffer, behind what was kept.
    fn take(&mut self, who: u32, length: usize) -> Fate {
        let Some(slot) = self.slots.get_mut(who as usize) else { return Fate::Gone };
        let key = Key { seed: self.seed, who, generation: slot.generation };
        let came = self.buffer.get(..length).unwrap_or_default();
        let kept = slot.with_kept(came);
        let mut rest = kept.as_deref().unwrap_or(came);
        if slot.stage == Stage::Answering {
            match answer::read(rest, key) {
                Answer::Partial => {
                    slot.keep(rest);
                    return Fate::Stays;
                }
                Answer::Opened { head } => {
                    slot.stage = Stage::Open;
                    rest = rest.get(head..).unwrap_or_default();
                    self.listener.opened(who);
                }
                Answer::Refused { status, retry_after_seconds } => {
                    slot.leave();
                    self.listener.refused(who, status, retry_after_seconds);
                    return Fate::Gone;
                }
                Answer::Nonsense => {
                    slot.leave();
                    self.listener.closed(who, None);
                    return Fate::Gone;
                }
            }
        }
        loop {
            let (taken, length) = match frames::front(rest) {
                Front::Whole { taken, length } => (taken, length),
                Front::Partial => break,
                Front::Broken => return close(slot, &mut self.masker, who, None, &mut self.listener),
            };
            if obey(slot, &mut self.masker, who, taken, &mut self.listener) == Fate::Gone {
                return Fate::Gone;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        slot.keep(rest);
        Fate::Stays
    }

    fn give_up(&mut self, who: u32, code: Option<u16>) {
        if self.slots.get_mut(who as usize).and_then(Slot::leave).is_some() {
            self.listener.closed(who, code);
        }
    }
}

fn obey<L: Listener>(
    slot: &mut Slot,
    masker: &mut Masker,
    who: u32,
    taken: Taken<'_>,
    listener: &mut L,
) -> Fate {
    match taken {
        Taken::Text { last_piece } => match slot.message() {
            None => listener.heard(who, last_piece),
            Some(message) if frames::fits(message.len(), last_piece) => {
                message.extend_from_slice(last_piece);
                listener.heard(who, message);
                slot.end_message();
            }
            Some(_) => return close(slot, masker, who, None, listener),
        },
        Taken::Piece(piece) => match slot.message() {
            None => slot.begin_message(piece),
            Some(message) if frames::fits(message.len(), piece) => message.extend_from_slice(piece),
            Some(_) => return close(slot, masker, who, None, listener),
        },
        Taken::Ping(payload) => {
            let pong = masker.frame(Kind::Pong, payload);
            // A socket that takes no pong now will be asked again, or be given up by the server.
            if let Some(socket) = &mut slot.socket {
                let _ = write_whole(socket, &pong);
            }
        }
        Taken::Pong => {}
        Taken::Close(code) => return close(slot, masker, who, Some(code), listener),
    }
    Fate::Stays
}

/// Answers a close with its own code, or ends what is against the protocol with 1002.
fn close<L: Listener>(
    slot: &mut Slot,
    masker: &mut Masker,
    who: u32,
    told: Option<Option<u16>>,
    listener: &mut L,
) -> Fate {
    let payload = match told {
        Some(code) => code.map(u16::to_be_bytes),
        None => Some(1002u16.to_be_bytes()),
    };
    let frame = masker.frame(Kind::Close, payload.as_ref().map_or(&[], |code| &code[..]));
    if let Some(mut socket) = slot.leave() {
        // The other side may be gone already.
        let _ = write_whole(&mut socket, &frame);
    }
    listener.closed(who, told.flatten());
    Fate::Gone
}

fn token(who: u32, generation: u32) -> Token {
    Token((generation as usize) << 32 | who as usize)
}

/// A socket on its way to `to`, and whether it has arrived: on the loopback it has at once.
fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<(TcpStream, bool)> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    let connected = match socket.connect(&to.into()) {
        Ok(()) => true,
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => false,
        Err(error) => return Err(error),
    };
    Ok((TcpStream::from_std(socket.into()), connected))
}

/// Writes all of it or fails: what is sent is far smaller than an idle socket's buffer.
fn write_whole(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    match socket.write(bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => {
            // Half a frame cannot be taken back; nothing sensible may follow it.
            socket.shutdown(std::net::Shutdown::Both)?;
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

/// A reset instead of a farewell, so that the local port is free again at once.
fn cut(socket: TcpStream) {
    // Without it the socket still closes, only more politely.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}
