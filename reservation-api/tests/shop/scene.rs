//! A shop on the real embedded backend: a room, visitors called into it, and the service's own router.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use backend::embedded::{Embedded, Options, SqliteReservations};
use edge::AdminToken;
use edge::rooms::Rooms;
use kernel::event::{Event, Record, Topic};
use kernel::pass::{Pass, PassKey};
use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Clock, EventLog, Registry, RoomRecord, RoomStore, StartAt, Subscription};
use kernel::reservation::concert::rows_of_seats;
use kernel::reservation::{Concert, Currency, Performance};
use kernel::room::{Call, Called, Join, Joined, Standing};
use kernel::session::Session;
use kernel::ticket::RoomBirth;
use kernel::words::{EndReason, LaneName, Number, RoomId, Timestamp};
use reservation_api::{Config, Ports, ReservationApi};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub const PRICE: i64 = 5_000;
pub const ADMIN: &str = "the-admin-token";
const T0: u64 = 1_900_000_000_000;
/// How long the background work of a test may take before the test fails.
const SOON: Duration = Duration::from_secs(20);

/// Time stands still unless a test moves it.
pub struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct Scene {
    pub rooms: Embedded,
    pub store: Arc<SqliteReservations>,
    pub clock: Arc<Hands>,
    api: ReservationApi,
    router: Router,
    keys: PassKey,
    directory: TempDir,
}

/// Somebody with a pass.
#[derive(Clone)]
pub struct Buyer {
    pub number: Number,
    pub pass: String,
}

/// Status and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub json: Value,
    pub etag: Option<String>,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.json);
        self
    }

    /// Checks a refusal and that it is a problem with this code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.json["code"].as_str()), (status, Some(code)), "{}", self.json);
    }

    pub fn text(&self, field: &str) -> String {
        self.json[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.json)).to_owned()
    }

    pub fn items(&self) -> &Vec<Value> {
        self.json["items"].as_array().unwrap_or_else(|| panic!("no list: {}", self.json))
    }
}

impl Scene {
    /// A shop whose room `demo` takes many, with concert `demo` of `seats` seats.
    pub async fn set(seats: usize) -> Self {
        Self::set_with(seats, |config| config).await
    }

    pub async fn set_with(seats: usize, change: impl FnOnce(Config) -> Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scene = Self::open(directory, change);
        for name in ["demo", "other"] {
            scene.make_room(name).await;
        }
        scene.api.seed_concert(concert("demo", "demo", seats)).await.unwrap();
        scene
    }

    /// The same directory again, as after a restart.
    pub fn reopened(self) -> Self {
        self.reopened_with(|config| config)
    }

    pub fn reopened_with(self, change: impl FnOnce(Config) -> Config) -> Self {
        self.store.close();
        self.rooms.close();
        let at = self.clock.now();
        let again = Self::open(self.directory, change);
        again.clock.0.store(at.as_millis(), Ordering::SeqCst);
        again
    }

    /// The same files as a kill would leave them.
    pub fn killed(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.directory.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let again = Self::open(copy, |config| config);
        again.clock.0.store(self.clock.now().as_millis(), Ordering::SeqCst);
        again
    }

    fn open(directory: TempDir, change: impl FnOnce(Config) -> Config) -> Self {
        let options = Options { redeliver_every: Some(2) };
        let rooms = Embedded::open(directory.path(), options).unwrap();
        let store = Arc::new(SqliteReservations::open(directory.path()).unwrap());
        let clock = Arc::new(Hands(AtomicU64::new(T0)));
        let keys = PassKey::new(b"a secret of the test").unwrap();
        let config = Config {
            charges_enabled: true,
            sweep_every: Duration::from_millis(20),
            relay_poll: Duration::from_millis(20),
            ..Config::default()
        };
        let ports = Ports {
            store: store.clone(),
            rooms: Arc::new(rooms.clone()),
            registry: Rooms::new(Arc::new(rooms.clone())),
            log: Arc::new(rooms.clone()),
            clock: clock.clone(),
            pass_key: keys.clone(),
            admin: AdminToken::new(ADMIN),
        };
        let api = ReservationApi::new(change(config), ports);
        let (router, _) = api.routes().split_for_parts();
        Self { rooms, store, clock, api, router, keys, directory }
    }

    async fn make_room(&self, name: &str) {
        let (room, policy) = (room(name), policy());
        let birth = RoomBirth { room: room.clone(), born: 1 };
        let record = RoomRecord { birth, policy: policy.clone(), visitor_key: None, lottery_secret: [7; 32] };
        self.rooms.save(&record).await.unwrap();
        self.rooms.configure(&room, &policy, None, self.clock.now()).await.unwrap();
    }

    /// Runs the service's background work until the token is dropped or cancelled.
    pub fn run(&self) -> Running {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.api.clone().run(stop.clone()));
        Running { stop, task }
    }

    pub fn description(&self) -> utoipa::openapi::OpenApi {
        self.api.routes().split_for_parts().1
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Somebody joins room `demo` and is called, and has claimed nothing yet.
    pub async fn called(&self) -> Buyer {
        self.called_into("demo").await
    }

    pub async fn called_into(&self, name: &str) -> Buyer {
        let (room, now) = (room(name), self.clock.now());
        let anybody = Join { lane: LaneName::default_lane(), holding: None, visitor: None, key: None };
        let joined = self.rooms.join(&room, vec![anybody], now).await.unwrap();
        let Joined::New(number) = joined[0].joined else { panic!("{joined:?}") };
        let seen = self.rooms.counts(&room).await.unwrap();
        let call = Call {
            per_lane: vec![1],
            called_before: seen.called,
            active_max: seen.counts.capacity,
            claim_by: now.plus_seconds(60),
        };
        let called = self.rooms.call_next(&room, call, now).await.unwrap();
        assert!(matches!(called, Called::Numbers(_)), "{called:?}");
        Buyer { number, pass: self.pass(name, number, 300) }
    }

    /// A genuine pass, good for so many seconds from now.
    pub fn pass(&self, name: &str, number: Number, seconds: u64) -> String {
        let now = self.clock.now();
        let pass = Pass::new(&room(name), format!("t:{number}"), number, now, now.plus_seconds(seconds));
        self.keys.sign(&pass).unwrap()
    }

    /// Somebody inside with money.
    pub async fn buyer(&self, money: i64) -> Buyer {
        let buyer = self.called().await;
        self.charge(&buyer, money).await;
        buyer
    }

    pub async fn charge(&self, buyer: &Buyer, money: i64) {
        let body = json!({ "amount_minor": money });
        self.post("/v1/balance/charges", &buyer.pass, Some(&fresh()), body).await.expect(201);
    }

    pub async fn session(&self, number: Number) -> Option<Session> {
        match self.rooms.seen(&room("demo"), number).await.unwrap().standing {
            Standing::Session(session) => Some(session),
            _ => None,
        }
    }

    pub async fn end(&self, number: Number, reason: EndReason) {
        assert!(edge::end(&self.rooms, &room("demo"), number, reason, self.clock.now()).await.unwrap());
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        pass: Option<&str>,
        key: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(pass) = pass {
            request = request.header("authorization", format!("Bearer {pass}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let etag = head.headers.get("etag").map(|etag| etag.to_str().unwrap().to_owned());
        Answer { status: head.status, json, etag }
    }

    pub async fn get(&self, path: &str, pass: Option<&str>) -> Answer {
        self.call(Method::GET, path, pass, None, None).await
    }

    pub async fn post(&self, path: &str, pass: &str, key: Option<&str>, body: Value) -> Answer {
        self.call(Method::POST, path, Some(pass), key, Some(body)).await
    }

    pub async fn hold(&self, buyer: &Buyer, seat: &str) -> Answer {
        let body = json!({ "performance_id": "demo-1", "seat_id": seat });
        self.post("/v1/reservations", &buyer.pass, None, body).await
    }

    pub async fn pay(&self, buyer: &Buyer, key: &str, reservation: &str) -> Answer {
        self.post("/v1/payments", &buyer.pass, Some(key), json!({ "reservation_id": reservation })).await
    }

    /// Holds and pays; the payment's id.
    pub async fn buy(&self, buyer: &Buyer, seat: &str) -> String {
        let reservation = self.hold(buyer, seat).await.expect(201).text("reservation_id");
        self.pay(buyer, &fresh(), &reservation).await.expect(201).text("payment_id")
    }

    pub async fn cancel(&self, buyer: &Buyer, payment: &str) -> Answer {
        let path = format!("/v1/payments/{payment}/cancel");
        self.call(Method::POST, &path, Some(&buyer.pass), None, None).await
    }

    /// A balance that is the sum of its ledger.
    pub async fn balance(&self, buyer: &Buyer) -> i64 {
        let balance = self.get("/v1/balance", Some(&buyer.pass)).await.expect(200);
        let ledger = self.get("/v1/balance/ledger", Some(&buyer.pass)).await.expect(200);
        let sum: i64 = ledger.items().iter().map(|entry| entry["amount_minor"].as_i64().unwrap()).sum();
        assert_eq!(balance.json["amount_minor"], sum);
        sum
    }

    /// The state of every seat of `demo-1` by id.
    pub async fn seats(&self) -> Vec<(String, String)> {
        let answer = self.get("/v1/performances/demo-1/seats?limit=1000", None).await.expect(200);
        let text = |seat: &Value, field: &str| seat[field].as_str().unwrap().to_owned();
        answer.items().iter().map(|seat| (text(seat, "seat_id"), text(seat, "state"))).collect()
    }

    pub async fn seat(&self, id: &str) -> String {
        self.seats().await.into_iter().find(|(seat, _)| seat == id).unwrap().1
    }

    /// Hears a topic from its beginning until `enough` events came, each id once.
    pub async fn heard(&self, topic: Topic, enough: usize) -> Vec<Arc<Record>> {
        let group = format!("test-{}", fresh());
        let from = Subscription { group, topics: vec![topic], start: StartAt::Committed };
        let mut consumer = self.rooms.subscribe(from).await.unwrap();
        let mut heard: Vec<Arc<Record>> = Vec::new();
        let hearing = async {
            while heard.len() < enough {
                for delivery in consumer.next(100).await.unwrap() {
                    if heard.iter().all(|known| known.id != delivery.record.id) {
                        heard.push(delivery.record);
                    }
                }
            }
        };
        tokio::time::timeout(SOON, hearing).await.expect("the events are told in time");
        heard
    }
}

pub struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Ends the background work as a shutdown does.
    pub async fn drained(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task).await.expect("it drains in time").unwrap();
    }
}

pub fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("key-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

pub fn concert(id: &str, of: &str, seats: usize) -> Concert {
    Concert {
        id: id.to_owned(),
        title: "An evening".to_owned(),
        room: room(of),
        currency: Currency::DEFAULT,
        performances: vec![Performance {
            performance_id: format!("{id}-1"),
            starts_at: Timestamp::from_millis(T0).plus_seconds(86_400),
            seats: rows_of_seats(seats, PRICE),
        }],
    }
}

/// The `type` of an event.
pub fn kind(record: &Record) -> String {
    let json = serde_json::to_value::<&Event>(&record.event).unwrap();
    json["type"].as_str().unwrap().to_owned()
}

/// Asks until the answer is there.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            // sleep: background work goes on meanwhile
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

fn policy() -> Policy {
    Policy {
        capacity: 10_000,
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
        go_to: None,
    }
}
