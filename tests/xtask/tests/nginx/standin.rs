//! A service as nginx sees it: it records each request whole and answers in one of a few manners.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What it does with a request once it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// 200 and what was asked for; a wish for an upgrade is granted and every byte comes back.
    Answer,
    /// Closes the connection without a word, as a process killed in the middle of its work does.
    BreakOff,
    /// An answer of the waiting queue that must stay as it is.
    QueueFull,
    /// One event, and the next after [`StandIn::go_on`].
    EventStream,
}

pub struct StandIn {
    shared: Arc<Shared>,
    port: u16,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    name: &'static str,
    manner: Mutex<Manner>,
    seen: Mutex<Vec<String>>,
    left: AtomicBool,
    may_go_on: (Mutex<bool>, Condvar),
}

impl StandIn {
    pub fn new(name: &'static str) -> StandIn {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            name,
            manner: Mutex::new(Manner::Answer),
            seen: Mutex::default(),
            left: AtomicBool::new(false),
            may_go_on: (Mutex::new(false), Condvar::new()),
        });
        let listening = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.listen(&listener)
        });
        StandIn { shared, port, listening: Some(listening) }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn be(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    pub fn go_on(&self) {
        let (may, changed) = &self.shared.may_go_on;
        *may.lock().unwrap() = true;
        changed.notify_all();
    }

    /// Stops listening: whoever connects from now on is refused.
    pub fn leave(&mut self) {
        if let Some(listening) = self.listening.take() {
            self.shared.left.store(true, Ordering::SeqCst);
            // Wakes the thread, which then lets go of its listener.
            let _ = TcpStream::connect(("127.0.0.1", self.port));
            listening.join().unwrap();
        }
    }

    /// Listens again, where it did.
    pub fn come_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.shared.left.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        self.listening = Some(std::thread::spawn(move || shared.listen(&listener)));
    }

    /// The requests that reached any of them, headers and body.
    pub fn all_seen(replicas: &[StandIn]) -> Vec<String> {
        replicas.iter().flat_map(|replica| replica.shared.seen.lock().unwrap().clone()).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.go_on();
        self.leave();
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.left.load(Ordering::SeqCst) {
                return;
            }
            let (stream, shared) = (stream.unwrap(), Arc::clone(self));
            std::thread::spawn(move || shared.serve(stream));
        }
    }

    /// One request a connection; who breaks off meanwhile ends it.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let request = read_request(&mut stream)?;
        self.seen.lock().unwrap().push(request.clone());
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Answer if request.contains("\r\nUpgrade: ") => {
                stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").ok()?;
                let mut some = [0; 256];
                loop {
                    let length = stream.read(&mut some).ok().filter(|length| *length > 0)?;
                    stream.write_all(&some[..length]).ok()?;
                }
            }
            Manner::Answer => {
                let body = format!("{} {}", self.name, request.lines().next()?);
                answer(&mut stream, "200 OK", "", &body)
            }
            Manner::BreakOff => stream.shutdown(Shutdown::Both).ok(),
            Manner::QueueFull => answer(
                &mut stream,
                "503 Service Unavailable",
                "Retry-After: 30\r\nContent-Type: application/problem+json\r\n",
                "{\"status\":503,\"code\":\"queue_full\"}",
            ),
            Manner::EventStream => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n").ok()?;
                let (may, changed) = &self.may_go_on;
                let limit = Duration::from_secs(20);
                let (_may, _) = changed.wait_timeout_while(may.lock().unwrap(), limit, |may| !*may).unwrap();
                stream.write_all(b"data: 2\n\n").ok()
            }
        }
    }
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> Option<()> {
    let text = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).ok()
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut some = [0; 4096];
    loop {
        let length = stream.read(&mut some).ok().filter(|length| *length > 0)?;
        text.extend_from_slice(&some[..length]);
        let so_far = String::from_utf8_lossy(&text);
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(so_far.into_owned());
            }
        }
    }
}
