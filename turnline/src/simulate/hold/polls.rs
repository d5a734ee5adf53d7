//! The other way to hear of one's place: asking. A small keep-alive HTTP/1.1 client on one epoll, with a pool of
//! connections that the visitors of a process share, as a proxy in front of the system would keep them.

use std::io::{self, Read, Write};
use std::net::TcpStream as Blocking;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::clock::{self, Micros};
use super::protocol::Channels;

/// Requests under way at once.
const CONNECTIONS: usize = 64;
const CONNECT: Duration = Duration::from_secs(5);
const BUFFER_BYTES: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// One answer, or that there was none.
pub struct Answer<'a> {
    pub who: u32,
    pub took: Micros,
    /// 0 where the connection was lost.
    pub status: u16,
    pub retry_after_seconds: Option<u64>,
    pub body: &'a [u8],
    /// The whole answer, head and body.
    pub bytes: u64,
}

/// A pool of connections to where the visitors ask.
pub struct Polls {
    poll: Poll,
    events: Events,
    to: Vec<Channels>,
    lines: Vec<Line>,
    idle: Vec<usize>,
    buffer: Box<[u8]>,
}

#[derive(Default)]
struct Line {
    socket: Option<TcpStream>,
    asked: Option<(u32, Micros)>,
    came: Vec<u8>,
}

impl Polls {
    /// # Errors
    /// When the system has no epoll to give.
    pub fn new(to: Vec<Channels>) -> io::Result<Polls> {
        Ok(Polls {
            poll: Poll::new()?,
            events: Events::with_capacity(CONNECTIONS),
            to,
            lines: (0..CONNECTIONS).map(|_| Line::default()).collect(),
            idle: (0..CONNECTIONS).collect(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        })
    }

    /// Whether another request can be sent now.
    pub fn free(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Asks for `who`; the bytes sent.
    ///
    /// # Errors
    /// When no connection can be had, or all are busy.
    pub fn ask(&mut self, who: u32, ticket: &str) -> io::Result<u64> {
        let at = self.idle.pop().ok_or(io::ErrorKind::WouldBlock)?;
        let sent = self.send(at, who, ticket);
        if sent.is_err() {
            // Kept alive too long, most likely: the next one on this line connects anew.
            self.lines[at] = Line::default();
            self.idle.push(at);
        }
        sent
    }

    /// Waits at most `timeout`, then hands over every answer that is whole, or lost.
    ///
    /// # Errors
    /// When the epoll fails.
    pub fn turn(&mut self, timeout: Duration, mut answered: impl FnMut(Answer<'_>)) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let at = event.token().0;
            let Some(line) = self.lines.get_mut(at) else { continue };
            let alive = line.read(&mut self.buffer);
            let Some((who, asked)) = line.asked else {
                if !alive {
                    *line = Line::default();
                }
                continue;
            };
            let took = clock::now().saturating_sub(asked);
            if let Some(answer) = whole(&line.came, who, took) {
                answered(answer);
                line.asked = None;
                line.came.clear();
                self.idle.push(at);
            } else if !alive {
                answered(Answer { who, took, status: 0, retry_after_seconds: None, body: &[], bytes: 0 });
                *line = Line::default();
                self.idle.push(at);
            }
        }
        Ok(())
    }

    fn send(&mut self, at: usize, who: u32, ticket: &str) -> io::Result<u64> {
        let to = self.to.get(at % self.to.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
        let line = &mut self.lines[at];
        if line.socket.is_none() {
            let socket = Blocking::connect_timeout(&to.address, CONNECT)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            self.poll.registry().register(&mut socket, Token(at), Interest::READABLE)?;
            line.socket = Some(socket);
        }
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nAuthorization: Bearer {ticket}\r\n\r\n",
            to.path, to.host
        );
        let socket = line.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        if socket.write(request.as_bytes())? < request.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        line.asked = Some((who, clock::now()));
        Ok(request.len() as u64)
    }
}

impl Line {
    /// Reads all there is; false when the connection has ended.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        loop {
            match socket.read(buffer) {
                Ok(0) => return false,
                Ok(length) => self.came.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

/// The answer, once head and body are there. Without a length the body is taken as empty.
fn whole(came: &[u8], who: u32, took: Micros) -> Option<Answer<'_>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(came).ok()? else { return None };
    let number = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()?.trim().parse::<u64>().ok()
    };
    let length = usize::try_from(number("content-length").unwrap_or_default()).ok()?;
    let body = came.get(head..head + length)?;
    Some(Answer {
        who,
        took,
        status: response.code.unwrap_or_default(),
        retry_after_seconds: number("retry-after"),
        body,
        bytes: (head + length) as u64,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_taken_once_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 5\r\n\r\n{}";
        for cut in 0..text.len() {
            assert!(whole(&text[..cut], 1, 2).is_none(), "after {cut} bytes");
        }
        let answer = whole(text, 1, 2).unwrap();
        assert_eq!((answer.status, answer.retry_after_seconds, answer.body), (200, Some(5), &b"{}"[..]));
        assert_eq!(answer.bytes, text.len() as u64);
    }

    #[test]
    fn connections_are_kept_and_lost_ones_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            for _ in 0..2 {
                let length = stream.read(&mut request).unwrap();
                assert!(std::str::from_utf8(&request[..length]).unwrap().contains("Bearer the-ticket\r\n"));
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes").unwrap();
            }
            assert!(stream.read(&mut request).unwrap() > 0);
        });
        let to = Channels { address, host: "h".into(), path: "/me".into() };
        let mut polls = Polls::new(vec![to]).unwrap();
        let mut seen = Vec::new();
        for round in 0..3 {
            assert!(polls.free() && polls.ask(round, "the-ticket").unwrap() > 0);
            let began = std::time::Instant::now();
            while seen.len() <= round as usize {
                assert!(began.elapsed() < Duration::from_secs(10), "{seen:?}");
                let heard = |answer: Answer<'_>| seen.push((answer.who, answer.status, answer.body.len()));
                polls.turn(Duration::from_millis(20), heard).unwrap();
            }
        }
        assert_eq!(seen, [(0, 200, 3), (1, 200, 3), (2, 0, 0)]);
        serving.join().unwrap();
    }
}
