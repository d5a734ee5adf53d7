//! A shard: one thread that owns a part of the node's connections, whatever their room. It hears the rooms'
//! events, sweeps once a tick, a part at a time so that whoever is let in never waits for it, and writes straight
//! to the sockets.

mod rooms;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use kernel::event::Record;
use kernel::ports::{Clock, RoomStore};
use kernel::room::Standing;
use kernel::words::{EndReason, Number};
use mio::{Events, Poll, Token, Waker};
use roaring::RoaringTreemap;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::hall::Hall;
use crate::outbox::{Outbox, Outgoing};
use crate::seats::Beat;
use crate::sockets::{Key, SPOKES, Sockets};
use crate::visit::{Granted, Visit};
use crate::{ChannelConfig, ChannelPorts};
use rooms::{Pace, Rooms};

/// What wakes a shard; no socket has this name.
const WAKER: Token = Token(usize::MAX);
/// Ready sockets taken at once.
const READY: usize = 1024;
/// Posts read between two parts of a sweep.
const POSTS: usize = 256;

/// The shards of this process.
pub struct Shards(Vec<Inlet>);

/// The way to one shard.
#[derive(Clone)]
pub struct Inlet {
    posts: Sender<Post>,
    waker: Arc<Waker>,
}

/// How a visitor is connected.
#[derive(Clone)]
pub enum Line {
    Socket(Key),
    Stream(Arc<Outbox>),
}

/// What happened in a room.
#[derive(Debug, Clone)]
pub enum News {
    Event(Arc<Record>),
    /// Anything may have changed.
    Anew,
}

/// What a shard is told.
pub enum Post {
    Socket(Box<NewSocket>),
    Stream(Arc<Hall>, Number, Arc<Outbox>),
    /// A stream is no more.
    StreamLeft(u64, Number, Arc<Outbox>),
    News(u64, News),
    /// Asked of the store: what became of those who were missing.
    Found(u64, Vec<(Number, Standing)>),
    Granted(Key, Granted),
    Present(u64, oneshot::Sender<RoaringTreemap>),
    /// The hall is no more: everybody connects again.
    Close(u64),
    /// The process stops: everybody goes elsewhere.
    Drain,
    /// Nobody is left who could post.
    Quit,
}

/// A socket after its handshake.
pub struct NewSocket {
    pub stream: std::net::TcpStream,
    /// What the visitor sent with the handshake.
    pub early: Vec<u8>,
    pub visit: Visit,
    /// An ended ticket: it takes no seat, and hears only its reason.
    pub over: Option<EndReason>,
}

impl Shards {
    /// As many threads as cores.
    ///
    /// # Errors
    /// The system gives no thread or no poll.
    pub fn start(config: &ChannelConfig, ports: &ChannelPorts) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).map(|at| Inlet::open(at, config, ports)).collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// Where this number sits, over all its tabs.
    pub fn of(&self, number: Number) -> &Inlet {
        let count = self.0.len() as u64;
        // There is one at least, and fewer than a pointer can count.
        &self.0[(number % count) as usize]
    }

    pub fn all(&self) -> impl Iterator<Item = &Inlet> {
        self.0.iter()
    }
}

impl Inlet {
    fn open(at: usize, config: &ChannelConfig, ports: &ChannelPorts) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (posts, inbox) = channel();
        let sockets = Sockets::new(poll.registry().try_clone()?, config.write_timeout);
        let figures_ms = u64::try_from(config.tick.as_millis()).unwrap_or(u64::MAX) * 9 / 10;
        let pace = Pace {
            beat: Beat { figures_ms, expiring_seconds: config.expiring_seconds },
            tick: config.tick,
            far_from: config.far_from,
            pushes_per_second: config.pushes_per_second,
        };
        let now = Instant::now();
        let shard = Shard {
            poll,
            inbox,
            sockets,
            rooms: Rooms::new(pace, now),
            clock: ports.clock.clone(),
            store: ports.store.clone(),
            runtime: Handle::current(),
            own: Self { posts: posts.clone(), waker: waker.clone() },
            spoke: 0,
            spoke_every: (config.ping_every / SPOKES as u32).max(Duration::from_millis(1)),
            next_spoke: now,
            draining: false,
        };
        std::thread::Builder::new().name(format!("shard-{at}")).spawn(move || shard.run())?;
        Ok(Self { posts, waker })
    }

    pub fn post(&self, post: Post) {
        // A shard ends after everybody who could post.
        if self.posts.send(post).is_ok()
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a shard of the channel cannot be woken; it looks at its next tick");
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.all().for_each(|shard| shard.post(Post::Quit));
    }
}

struct Shard {
    poll: Poll,
    inbox: Receiver<Post>,
    sockets: Sockets,
    rooms: Rooms,
    clock: Arc<dyn Clock>,
    store: Arc<dyn RoomStore>,
    runtime: Handle,
    /// For those who bring answers.
    own: Inlet,
    spoke: usize,
    spoke_every: Duration,
    next_spoke: Instant,
    draining: bool,
}

impl Shard {
    fn run(mut self) {
        let mut events = Events::with_capacity(READY);
        loop {
            let wait = self.wait();
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "a shard of the channel cannot wait for its sockets and ends");
                    return;
                }
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                self.sockets.ready(Key::of(event.token()));
            }
            if !self.read_posts() {
                return;
            }
            let now = Instant::now();
            self.sockets.ring(now);
            if now >= self.next_spoke {
                self.sockets.beat(self.spoke);
                self.spoke = self.spoke.wrapping_add(1);
                self.next_spoke = now + self.spoke_every;
            }
            self.rooms.tell_next_up(&mut self.sockets, now);
            let missing = self.rooms.sweep(&mut self.sockets, self.clock.now(), now);
            missing.into_iter().for_each(|(hall, numbers)| self.find(hall, numbers));
            self.settle();
        }
    }

    /// How long nothing needs to be done.
    fn wait(&self) -> Duration {
        let due = [Some(self.next_spoke), self.sockets.next_alarm(), self.rooms.next_due()];
        let next = due.into_iter().flatten().min().unwrap_or(self.next_spoke);
        next.saturating_duration_since(Instant::now())
    }

    /// False when nobody is left who could post.
    fn read_posts(&mut self) -> bool {
        for _ in 0..POSTS {
            match self.inbox.try_recv() {
                Ok(Post::Quit) | Err(TryRecvError::Disconnected) => return false,
                Ok(post) => self.take(post),
                Err(TryRecvError::Empty) => return true,
            }
        }
        // There may be more: come back at once.
        self.own.waker.wake().is_ok()
    }

    fn take(&mut self, post: Post) {
        let sockets = &mut self.sockets;
        match post {
            Post::Socket(new) => self.take_in(*new),
            Post::Stream(_, _, outbox) if self.draining => {
                outbox.put(Outgoing::Away);
            }
            Post::Stream(hall, number, outbox) => {
                self.rooms.seat(sockets, &hall, number, Line::Stream(outbox));
            }
            Post::StreamLeft(hall, number, outbox) => {
                let is_gone =
                    |line: &Line| matches!(line, Line::Stream(other) if Arc::ptr_eq(other, &outbox));
                self.rooms.unseat(hall, number, is_gone);
            }
            Post::News(hall, news) => self.rooms.hear(sockets, hall, &news),
            Post::Found(hall, found) => self.rooms.found(sockets, hall, found),
            Post::Granted(key, granted) => sockets.granted(key, granted),
            Post::Present(hall, answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.rooms.take_present(hall));
            }
            Post::Close(hall) => self.rooms.close(sockets, hall),
            Post::Drain => {
                self.draining = true;
                self.rooms.close_all(sockets);
            }
            Post::Quit => {}
        }
        self.settle();
    }

    fn take_in(&mut self, new: NewSocket) {
        let NewSocket { stream, early, visit, over } = new;
        let (hall, number) = (visit.hall.clone(), visit.ticket.number);
        let key = match self.sockets.add(stream, visit) {
            Ok(key) => key,
            Err(error) => return tracing::warn!(%error, "a socket could not be watched; it is closed"),
        };
        match over {
            _ if self.draining => {
                self.sockets.put(key, Outgoing::Away);
            }
            Some(reason) => {
                self.sockets.put(key, Outgoing::Ended(reason));
            }
            None => self.rooms.seat(&mut self.sockets, &hall, number, Line::Socket(key)),
        }
        if !early.is_empty() {
            self.sockets.hear(key, &early);
        }
    }

    /// What came of what was done: who left has no seat any more, and wishes go to the store.
    fn settle(&mut self) {
        for left in self.sockets.take_left() {
            let is_gone = |line: &Line| matches!(line, Line::Socket(key) if *key == left.key);
            self.rooms.unseat(left.hall, left.number, is_gone);
        }
        for (key, wish) in self.sockets.take_wishes() {
            let Some(errand) = self.sockets.visit(key).map(Visit::errand) else { continue };
            let inlet = self.own.clone();
            self.runtime.spawn(async move { inlet.post(Post::Granted(key, errand.run(wish).await)) });
        }
    }

    /// Asks the store what became of those whose end was not heard here.
    fn find(&self, hall: Arc<Hall>, numbers: Vec<Number>) {
        let (inlet, store) = (self.own.clone(), self.store.clone());
        self.runtime.spawn(async move {
            let mut found = Vec::with_capacity(numbers.len());
            for number in numbers {
                match store.seen(hall.mirror.room(), number).await {
                    Ok(seen) => found.push((number, seen.standing)),
                    Err(error) => {
                        tracing::warn!(room = %hall.mirror.room(), %error, "cannot ask how tickets ended");
                        break;
                    }
                }
            }
            inlet.post(Post::Found(hall.id, found));
        });
    }
}
