//! A room with its channel on a real port, over the embedded backend; the test moves the room and the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backend::embedded::{Embedded, InProcessPresence, Options};
use client_channel::{ChannelConfig, ChannelPorts, ClientChannel};
use kernel::control::Control;
use kernel::pass::PassKey;
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Clock, Presence, Registry, RoomRecord, RoomStore};
use kernel::room::{Call, Called, Join, Joined, Standing};
use kernel::session::{Input, Session, Terms, step};
use kernel::ticket::{RoomBirth, Ticket, TicketKey};
use kernel::words::{EndReason, LaneName, Number, Ranges, RoomId, Timestamp};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
pub const SOON: Duration = Duration::from_secs(10);

pub struct Scene {
    pub store: Embedded,
    pub presence: Arc<InProcessPresence>,
    pub passes: PassKey,
    pub address: std::net::SocketAddr,
    pub policy: Policy,
    pub running: JoinHandle<()>,
    pub stop: CancellationToken,
    clock: Arc<HandClock>,
    tickets: TicketKey,
    birth: RoomBirth,
    _directory: tempfile::TempDir,
}

struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub fn policy() -> Policy {
    Policy {
        capacity: 1_000_000,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 60,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: Some("/book/1".into()),
    }
}

/// Fast, so that tests are.
pub fn config() -> ChannelConfig {
    let mut config = ChannelConfig::new("test");
    config.tick = Duration::from_millis(20);
    config
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(config(), policy()).await
    }

    pub async fn with(config: ChannelConfig, policy: Policy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), Options { redeliver_every: Some(3) }).unwrap();
        let clock = Arc::new(HandClock(AtomicU64::new(1_900_000_000_000)));
        let birth = RoomBirth { room: RoomId::parse("demo").unwrap(), born: 7 };
        let record = RoomRecord {
            birth: birth.clone(),
            policy: policy.clone(),
            visitor_key: None,
            lottery_secret: [7; 32],
        };
        store.save(&record).await.unwrap();
        store.configure(&birth.room, &policy, None, clock.now()).await.unwrap();
        let (tickets, passes) = (TicketKey::new(b"secret"), PassKey::new(b"secret").unwrap());
        let presence = Arc::new(InProcessPresence::default());
        let ports = ChannelPorts {
            store: Arc::new(store.clone()),
            registry: Arc::new(store.clone()),
            log: Arc::new(store.clone()),
            presence: presence.clone(),
            clock: clock.clone(),
            tickets: tickets.clone(),
            passes: passes.clone(),
        };
        let channel = ClientChannel::new(config, ports);
        let (routes, _) = channel.routes().split_for_parts();
        // Small buffers, as a far network has: what a slow reader leaves there is soon too much.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = routes.into_make_service_with_connect_info::<std::net::SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let stop = CancellationToken::new();
        let running = tokio::spawn(channel.run(stop.clone()));
        Self {
            store,
            presence,
            passes,
            address,
            policy,
            running,
            stop,
            clock,
            tickets,
            birth,
            _directory: directory,
        }
    }

    pub fn room(&self) -> &RoomId {
        &self.birth.room
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time go by; nobody waits for it.
    pub fn pass_seconds(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub fn ticket(&self, number: Number) -> String {
        self.tickets.sign(&self.birth, &Ticket { number, sub: None })
    }

    pub fn ticket_of_another_room(&self) -> String {
        let birth = RoomBirth { room: RoomId::parse("other").unwrap(), born: 7 };
        self.tickets.sign(&birth, &Ticket { number: 1, sub: None })
    }

    pub async fn join(&self, count: usize) {
        let join = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        let answers = self.store.join(self.room(), vec![join; count], self.now()).await.unwrap();
        assert!(answers.iter().all(|answer| matches!(answer.joined, Joined::New(_))));
    }

    pub async fn call(&self, count: u64) {
        let state = self.store.snapshot(self.room()).await.unwrap();
        let call = Call {
            per_lane: vec![count],
            called_before: state.called,
            active_max: state.policy.capacity,
            claim_by: self.now().plus_seconds(60),
        };
        let called = self.store.call_next(self.room(), call, self.now()).await.unwrap();
        assert!(matches!(called, Called::Numbers(numbers) if numbers.count() == count));
    }

    pub async fn depart(&self, number: Number, reason: EndReason) {
        let gone = self.store.depart(self.room(), Ranges::one(number), reason, self.now()).await.unwrap();
        assert_eq!(gone.count(), 1);
    }

    pub async fn end(&self, number: Number, reason: EndReason) {
        let next = step(
            self.session(number).await.unwrap(),
            Input::End(reason),
            Terms::from(&self.policy),
            self.now(),
        );
        let (store, session) = (&self.store, self.session(number).await.unwrap());
        store.swap_session(self.room(), number, session, next.unwrap(), self.now()).await.unwrap();
    }

    pub async fn control(&self, from: Control, to: Control) {
        assert!(self.store.control(self.room(), from, to, None, self.now()).await.unwrap());
    }

    pub async fn standing(&self, number: Number) -> Standing {
        self.store.seen(self.room(), number).await.unwrap().standing
    }

    pub async fn session(&self, number: Number) -> Option<Session> {
        match self.standing(number).await {
            Standing::Session(session) => Some(session),
            _ => None,
        }
    }

    pub async fn present(&self) -> Vec<Number> {
        self.presence.present(self.room(), self.now()).await.unwrap().into_iter().collect()
    }
}

/// Asks again and again until it holds; fails the test when it does not soon.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let search = async {
        let mut again = tokio::time::interval(Duration::from_millis(5));
        while !holds().await {
            again.tick().await;
        }
    };
    assert!(tokio::time::timeout(SOON, search).await.is_ok(), "{what}: not within {SOON:?}");
}
