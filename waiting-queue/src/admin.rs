//! The operator's calls. Each is idempotent; changes apply at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use edge::{NoBody, Problem, StrictJson, require_admin};
use kernel::control::{self, NotNow, Order};
use kernel::policy::{LanePolicy, Policy, PrequeueOrder};
use kernel::ports::{RoomRecord, StoreError};
use kernel::room::{Standing, Summary};
use kernel::ticket::RoomBirth;
use kernel::words::{EndReason, LaneName, RoomId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Shared;
use crate::room::{PublicRoom, describe};
use crate::ticket::remove;

const NOTICE_CHARS_MAX: usize = 1_000;
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=1_024;
/// How often an order is tried again because somebody else changed the room.
const ATTEMPTS: usize = 8;

/// A room's policy as it is written. `visitor_key`: absent keeps it, `null` removes it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    capacity: u64,
    admit_per_minute: Option<u64>,
    active_seconds: u64,
    max_session_seconds: u64,
    claim_seconds: u64,
    grace_seconds: u64,
    max_waiting: Option<u64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    opens_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closes_at: Option<Timestamp>,
    #[schema(value_type = String, example = "fifo")]
    prequeue: PrequeueOrder,
    lanes: Option<Vec<LaneBody>>,
    go_to: Option<String>,
    #[serde(default, deserialize_with = "key_change")]
    #[schema(value_type = Option<String>, write_only)]
    visitor_key: KeyChange,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaneBody {
    #[schema(value_type = String)]
    name: LaneName,
    /// Share of the admissions while others wait too.
    weight: u32,
}

#[derive(Default)]
pub(crate) enum KeyChange {
    #[default]
    Keep,
    Remove,
    Set(String),
}

impl std::fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyChange")
    }
}

fn key_change<'de, D: Deserializer<'de>>(from: D) -> Result<KeyChange, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map_or(KeyChange::Remove, KeyChange::Set))
}

/// A room as the operator sees it; its visitor key is never read back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AdminRoom {
    #[serde(flatten)]
    public: PublicRoom,
    #[schema(value_type = Object)]
    policy: Policy,
    knows_visitors: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RoomList {
    items: Vec<AdminRoom>,
}

/// A room's figures of one moment.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Stats {
    room: String,
    state: String,
    version: u64,
    issued: u64,
    waiting: u64,
    active: u64,
    capacity: u64,
    called: u64,
    departed: u64,
    admitted_per_minute: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

impl Stats {
    pub fn new(room: &RoomId, summary: Summary) -> Self {
        Self {
            room: room.to_string(),
            state: summary.control.as_str().to_owned(),
            version: summary.version,
            issued: summary.issued,
            waiting: summary.waiting,
            active: summary.active,
            capacity: summary.capacity,
            called: summary.called,
            departed: summary.departed,
            admitted_per_minute: summary.per_hour as f64 / 60.0,
            notice: summary.notice,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeBody {
    /// What every visitor of the room is told; empty or null takes it away. Never left out by accident.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    text: Option<String>,
}

#[utoipa::path(get, operation_id = "rooms", path = "/v1/admin/rooms", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = RoomList), (status = 401, body = edge::ProblemBody)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<RoomList>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let mut items = Vec::new();
    for record in shared.rooms.all().await? {
        items.push(admin_room(&shared, &record).await?);
    }
    Ok(Json(RoomList { items }))
}

#[utoipa::path(get, path = "/v1/admin/rooms/{room}", tag = "admin", params(("room" = String, Path)), security(("admin" = [])),
    responses((status = 200, body = AdminRoom), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Json<AdminRoom>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let record = shared.rooms.named(&room).await?;
    admin_room(&shared, &record).await.map(Json)
}

/// Makes a room or changes its policy.
#[utoipa::path(put, path = "/v1/admin/rooms/{room}", tag = "admin", params(("room" = String, Path)), security(("admin" = [])),
    request_body = PolicyBody,
    responses((status = 200, body = AdminRoom), (status = 400, body = edge::ProblemBody), (status = 401, body = edge::ProblemBody)))]
pub(crate) async fn configure(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<StrictJson<PolicyBody>, Problem>,
) -> Result<Json<AdminRoom>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let StrictJson(body) = body?;
    let room = RoomId::parse(&room).map_err(|bad| Problem::bad_request("invalid_room", bad.to_string()))?;
    let (policy, key) = body.split();
    let record = shared.configure(&room, policy, key).await?;
    admin_room(&shared, &record).await.map(Json)
}

/// Opens, pauses, resumes or closes a room.
#[utoipa::path(post, path = "/v1/admin/rooms/{room}/{order}", tag = "admin",
    params(("room" = String, Path), ("order" = String, Path, description = "open, pause, resume or close")), security(("admin" = [])),
    responses((status = 200, body = PublicRoom), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody),
        (status = 409, body = edge::ProblemBody, description = "`wrong_state`: the room has to be opened first")))]
pub(crate) async fn order(
    State(shared): State<Arc<Shared>>,
    Path((room, order)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<NoBody, Problem>,
) -> Result<Json<PublicRoom>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    body?;
    let order = match order.as_str() {
        "open" => Order::Open,
        "pause" => Order::Pause,
        "resume" => Order::Resume,
        "close" => Order::Close,
        _ => return Err(edge::not_found().await),
    };
    let record = shared.rooms.named(&room).await?;
    obey(&shared, &record, order).await?;
    describe(&shared, &record).await.map(Json)
}

#[utoipa::path(post, path = "/v1/admin/rooms/{room}/notice", tag = "admin", params(("room" = String, Path)), security(("admin" = [])),
    request_body = NoticeBody,
    responses((status = 200, body = PublicRoom), (status = 400, body = edge::ProblemBody), (status = 401, body = edge::ProblemBody)))]
pub(crate) async fn notice(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<StrictJson<NoticeBody>, Problem>,
) -> Result<Json<PublicRoom>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let StrictJson(body) = body?;
    let record = shared.rooms.named(&room).await?;
    let text = body.text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.chars().count() > NOTICE_CHARS_MAX) {
        return Err(Problem::bad_request("invalid_notice", "a notice is at most 1,000 characters"));
    }
    shared.ports.store.notice(&record.birth.room, text, shared.now()).await?;
    describe(&shared, &record).await.map(Json)
}

#[utoipa::path(get, path = "/v1/admin/rooms/{room}/stats", tag = "admin", params(("room" = String, Path)), security(("admin" = [])),
    responses((status = 200, body = Stats), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn stats(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Stats>, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    let record = shared.rooms.named(&room).await?;
    let room = &record.birth.room;
    Ok(Json(Stats::new(room, shared.ports.store.summary(room).await?)))
}

/// Takes a visitor's place or slot away for good.
#[utoipa::path(post, path = "/v1/admin/rooms/{room}/tickets/{number}/revoke", tag = "admin",
    params(("room" = String, Path), ("number" = u64, Path)), security(("admin" = [])),
    responses((status = 204), (status = 401, body = edge::ProblemBody), (status = 404, body = edge::ProblemBody),
        (status = 409, body = edge::ProblemBody, description = "`ticket_ended`: it has ended otherwise")))]
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Path((room, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<NoBody, Problem>,
) -> Result<StatusCode, Problem> {
    require_admin(&shared.ports.admin, &headers)?;
    body?;
    let record = shared.rooms.named(&room).await?;
    let unknown =
        || Problem::new(StatusCode::NOT_FOUND, "unknown_ticket", "no ticket of this room has this number");
    let number = number.parse().map_err(|_| unknown())?;
    if remove(&shared, &record, number, EndReason::Revoked).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match shared.ports.store.seen(&record.birth.room, number).await?.standing {
        Standing::Ended(EndReason::Revoked) => Ok(StatusCode::NO_CONTENT),
        Standing::Unknown => Err(unknown()),
        Standing::Ended(_) | Standing::Prequeue | Standing::Waiting(_) | Standing::Session(_) => {
            Err(Problem::new(StatusCode::CONFLICT, "ticket_ended", "this ticket has ended already"))
        }
    }
}

impl From<LaneBody> for LanePolicy {
    fn from(LaneBody { name, weight }: LaneBody) -> Self {
        Self { name, weight }
    }
}

impl PolicyBody {
    fn split(self) -> (Policy, KeyChange) {
        let policy = Policy {
            capacity: self.capacity,
            admit_per_minute: self.admit_per_minute,
            active_seconds: self.active_seconds,
            max_session_seconds: self.max_session_seconds,
            claim_seconds: self.claim_seconds,
            grace_seconds: self.grace_seconds,
            max_waiting: self.max_waiting,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            prequeue: self.prequeue,
            lanes: self.lanes.unwrap_or_default().into_iter().map(LaneBody::into).collect(),
            go_to: self.go_to,
        };
        (policy, self.visitor_key)
    }
}

impl Shared {
    /// Registers the policy, then puts it in force; a crash in between is made good at the next start.
    pub(crate) async fn configure(
        &self,
        room: &RoomId,
        policy: Policy,
        key: KeyChange,
    ) -> Result<Arc<RoomRecord>, Problem> {
        policy.check().map_err(|bad| Problem::bad_request("invalid_policy", bad.to_string()))?;
        if let KeyChange::Set(key) = &key
            && !KEY_BYTES.contains(&key.len())
        {
            return Err(Problem::bad_request("invalid_policy", "visitor_key: 16 to 1,024 bytes"));
        }
        let _turn = self.configuring.lock().await;
        let known = self.ports.registry.load(room).await?;
        let mut record = known.unwrap_or_else(|| RoomRecord {
            birth: RoomBirth { room: room.clone(), born: born(self.ports.entropy.bytes()) },
            policy: policy.clone(),
            visitor_key: None,
            lottery_secret: self.ports.entropy.bytes(),
        });
        record.policy = policy;
        let mut record = match key {
            KeyChange::Keep => self.rooms.save_policy(&record).await?,
            KeyChange::Remove => self.rooms.save(&RoomRecord { visitor_key: None, ..record }).await?,
            KeyChange::Set(key) => self.rooms.save(&RoomRecord { visitor_key: Some(key), ..record }).await?,
        };
        // Another node may have saved after us and been in force before us: what is kept wins.
        for _ in 0..ATTEMPTS {
            self.put_in_force(&record).await?;
            let kept = self.ports.registry.load(room).await?.ok_or(StoreError::UnknownRoom)?;
            if kept == record {
                return Ok(Arc::new(record));
            }
            record = kept;
        }
        Err(StoreError::Unavailable("the room kept changing under us".to_owned()).into())
    }
}

fn born(random: [u8; 32]) -> u64 {
    random.iter().take(8).fold(0, |born, byte| born << 8 | u64::from(*byte))
}

async fn admin_room(shared: &Shared, record: &RoomRecord) -> Result<AdminRoom, Problem> {
    Ok(AdminRoom {
        public: describe(shared, record).await?,
        policy: record.policy.clone(),
        knows_visitors: record.visitor_key.is_some(),
    })
}

async fn obey(shared: &Shared, record: &RoomRecord, order: Order) -> Result<(), Problem> {
    let (store, room) = (shared.ports.store.as_ref(), &record.birth.room);
    if order == Order::Open {
        return Ok(edge::opening::open(store, record, &shared.ports.tickets, shared.now()).await?);
    }
    for _ in 0..ATTEMPTS {
        let from = store.summary(room).await?.control;
        let to = control::step(from, order).map_err(|not_now: NotNow| {
            Problem::new(StatusCode::CONFLICT, "wrong_state", not_now.to_string())
        })?;
        if store.control(room, from, to, None, shared.now()).await? {
            return Ok(());
        }
    }
    Err(StoreError::Unavailable("the room kept changing under us".to_owned()).into())
}
