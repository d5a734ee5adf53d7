//! The floor: one epoll loop that upgrades, and once a tick writes a frame made on the stack to each socket, one
//! `write` a socket. It holds nothing else, knows no visitor, and drops whoever does not fit its few lines.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::Context;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::figure::Figure;
use super::peers::TICK;

const DOOR: Token = Token(usize::MAX);
const EVENTS: usize = 1_024;
/// More than any request here.
const BUFFER: usize = 2_048;
const FRAME: usize = 256;
const KEY: &str = "sec-websocket-key:";

struct Socket {
    stream: TcpStream,
    upgraded: bool,
}

pub fn serve(port: u16) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut door = TcpListener::bind(address).context("the raw peer cannot listen")?;
    poll.registry().register(&mut door, DOOR, Interest::READABLE)?;
    let (mut events, mut sockets) = (Events::with_capacity(EVENTS), Vec::new());
    let (mut next, mut ticks) = (Instant::now() + TICK, 0);
    loop {
        match poll.poll(&mut events, Some(next.saturating_duration_since(Instant::now()))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        for event in &events {
            match event.token() {
                DOOR => let_in(&door, poll.registry(), &mut sockets)?,
                Token(nth) => {
                    if let Some(place) = sockets.get_mut(nth) {
                        hear(place);
                    }
                }
            }
        }
        if Instant::now() >= next {
            ticks += 1;
            next += TICK;
            tell(&mut sockets, ticks);
        }
    }
}

fn let_in(door: &TcpListener, registry: &Registry, sockets: &mut Vec<Option<Socket>>) -> anyhow::Result<()> {
    loop {
        let mut stream = match door.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        stream.set_nodelay(true)?;
        registry.register(&mut stream, Token(sockets.len()), Interest::READABLE)?;
        sockets.push(Some(Socket { stream, upgraded: false }));
    }
}

/// Reads until there is nothing left, as an edge-triggered epoll wants it.
fn hear(place: &mut Option<Socket>) {
    let mut buffer = [0; BUFFER];
    while let Some(socket) = place {
        match socket.stream.read(&mut buffer) {
            Ok(read) if read > 0 => {
                let heard = buffer.get(..read).unwrap_or_default();
                // What is said after the upgrade, pongs and the like, is for nobody.
                socket.upgraded = socket.upgraded || upgrade(&mut socket.stream, heard);
                if !socket.upgraded {
                    *place = None;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => *place = None,
        }
    }
}

/// A request comes in one piece here: it is short, and the way is a loopback.
fn upgrade(stream: &mut TcpStream, request: &[u8]) -> bool {
    let Ok(request) = std::str::from_utf8(request) else { return false };
    let mut lines = request.split("\r\n");
    let key = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(KEY.len())?;
        name.eq_ignore_ascii_case(KEY).then(|| value.trim())
    });
    let Some(key) = key.filter(|_| request.ends_with("\r\n\r\n")) else { return false };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write(answer.as_bytes()).is_ok_and(|written| written == answer.len())
}

fn tell(sockets: &mut [Option<Socket>], ticks: u64) {
    let count = sockets.len() as u64;
    for (nth, place) in (0..).zip(sockets) {
        let Some(socket) = place.as_mut().filter(|socket| socket.upgraded) else { continue };
        let figure = Figure::of(nth, ticks, count);
        let (frame, length) = frame(figure.bytes());
        match socket.stream.write(frame.get(..length).unwrap_or_default()) {
            Ok(written) if written == length => {}
            // Whoever has no room misses a tick; half a frame is the end.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => *place = None,
        }
    }
}

/// A whole text in one frame, unmasked (RFC 6455 5.2), and how long it is; texts here are far shorter than the room.
fn frame(text: &[u8]) -> ([u8; FRAME], usize) {
    let mut frame = [0; FRAME];
    let [high, low] = (text.len() as u16).to_be_bytes();
    let header: &[u8] = if text.len() < 126 { &[0x81, low] } else { &[0x81, 126, high, low] };
    let length = header.len() + text.len();
    if let Some((front, rest)) = frame.split_at_mut_checked(header.len())
        && let Some(body) = rest.get_mut(..text.len())
    {
        front.copy_from_slice(header);
        body.copy_from_slice(text);
    }
    (frame, length)
}
