//! The room registry as a node keeps it: read once a tick at most, forgotten when a room is configured anew,
//! and gone on with while the registry is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use kernel::ports::{Registry, RoomRecord, StoreError};
use kernel::words::RoomId;
use tokio::time::Instant;

use crate::problem::Problem;

/// A record is read again after this: no event tells of a new visitor key, and events can be missed.
const FRESH: Duration = Duration::from_secs(1);
/// How long callers wait for a registry that does not answer, when the record is known from before.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Rooms {
    registry: Arc<dyn Registry>,
    known: Arc<DashMap<RoomId, Known>>,
    /// Counts what was forgotten: a record that was read before is not kept after.
    forgotten: Arc<AtomicU64>,
}

struct Known {
    record: Arc<RoomRecord>,
    read_at: Instant,
    /// When somebody went to read it again.
    asked_at: Option<Instant>,
}

impl Rooms {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, known: Arc::default(), forgotten: Arc::default() }
    }

    /// The room's record; 404 `unknown_room` when there is none. While the registry does not answer, what was
    /// known last goes on.
    pub async fn get(&self, room: &RoomId) -> Result<Arc<RoomRecord>, Problem> {
        let known = self.known.get(room).map(|known| (known.record.clone(), known.read_at));
        let Some((last, read_at)) = known else { return Ok(self.load(room).await?) };
        if read_at.elapsed() < FRESH || !self.take_turn(room) {
            return Ok(last);
        }
        match tokio::time::timeout(PATIENCE, self.load(room)).await {
            Ok(Err(StoreError::Unavailable(_))) | Err(_) => {
                tracing::warn!(%room, "the registry does not answer; the room goes on as it was known last");
                let forgotten = self.forgotten.load(Ordering::SeqCst);
                self.keep(room, &last, forgotten);
                Ok(last)
            }
            Ok(loaded) => Ok(loaded?),
        }
    }

    /// The record of the room named in a path; a name that no room can have is an unknown room.
    pub async fn named(&self, name: &str) -> Result<Arc<RoomRecord>, Problem> {
        let room = RoomId::parse(name).map_err(|_| StoreError::UnknownRoom)?;
        self.get(&room).await
    }

    /// All rooms by name, past the cache.
    pub async fn all(&self) -> Result<Vec<RoomRecord>, Problem> {
        Ok(self.registry.all().await?)
    }

    /// Answers what is kept: the birth and the lottery secret are those of whoever saved the room first.
    pub async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, Problem> {
        let kept = self.registry.save(record).await?;
        self.forget(&record.birth.room);
        Ok(kept)
    }

    /// The same, but a visitor key that is kept stays as it is.
    pub async fn save_policy(&self, record: &RoomRecord) -> Result<RoomRecord, Problem> {
        let kept = self.registry.save_policy(record).await?;
        self.forget(&record.birth.room);
        Ok(kept)
    }

    pub fn forget(&self, room: &RoomId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.known.remove(room);
    }

    /// Whether the caller is to read the record again; the others of a crowd go on with it meanwhile.
    fn take_turn(&self, room: &RoomId) -> bool {
        let Some(mut known) = self.known.get_mut(room) else { return true };
        let free = known.asked_at.is_none_or(|asked| asked.elapsed() >= PATIENCE);
        if free {
            known.asked_at = Some(Instant::now());
        }
        free
    }

    async fn load(&self, room: &RoomId) -> Result<Arc<RoomRecord>, StoreError> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let record = Arc::new(self.registry.load(room).await?.ok_or(StoreError::UnknownRoom)?);
        self.keep(room, &record, forgotten);
        Ok(record)
    }

    fn keep(&self, room: &RoomId, record: &Arc<RoomRecord>, forgotten: u64) {
        // Under the entry's lock, which `forget` needs too.
        let entry = self.known.entry(room.clone());
        if self.forgotten.load(Ordering::SeqCst) == forgotten {
            entry.insert(Known { record: record.clone(), read_at: Instant::now(), asked_at: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use kernel::policy::{Policy, PrequeueOrder};
    use kernel::ticket::RoomBirth;
    use tokio::sync::Notify;

    use super::*;

    fn record(capacity: u64) -> RoomRecord {
        let policy = Policy {
            capacity,
            admit_per_minute: None,
            active_seconds: 1,
            max_session_seconds: 1,
            claim_seconds: 1,
            grace_seconds: 1,
            max_waiting: None,
            opens_at: None,
            closes_at: None,
            prequeue: PrequeueOrder::Fifo,
            lanes: Vec::new(),
            go_to: None,
        };
        let birth = RoomBirth { room: room(), born: 1 };
        RoomRecord { birth, policy, visitor_key: None, lottery_secret: [0; 32] }
    }

    fn room() -> RoomId {
        RoomId::parse("demo").unwrap()
    }

    /// Looks once slowly: what it answers then is old.
    #[derive(Default)]
    struct Slow {
        looks: AtomicU64,
        looking: Notify,
        answer: Notify,
    }

    #[async_trait]
    impl Registry for Slow {
        async fn save_policy(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
            self.save(record).await
        }

        async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
            Ok(record.clone())
        }

        async fn load(&self, _: &RoomId) -> Result<Option<RoomRecord>, StoreError> {
            if self.looks.fetch_add(1, Ordering::SeqCst) > 0 {
                return Ok(Some(record(2)));
            }
            self.looking.notify_one();
            self.answer.notified().await;
            Ok(Some(record(1)))
        }

        async fn all(&self) -> Result<Vec<RoomRecord>, StoreError> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_record_read_before_it_was_saved_anew_is_not_kept() {
        let registry = Arc::new(Slow::default());
        let rooms = Rooms::new(registry.clone());
        let (early, ()) = tokio::join!(
            async {
                let room = room();
                rooms.get(&room).await.unwrap()
            },
            async {
                registry.looking.notified().await;
                rooms.save(&record(2)).await.unwrap();
                registry.answer.notify_one();
            }
        );
        assert_eq!(early.policy.capacity, 1);
        assert_eq!(rooms.get(&room()).await.unwrap().policy.capacity, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_a_crowd_reads_an_old_record_again() {
        let registry = Arc::new(Slow::default());
        let rooms = Rooms::new(registry.clone());
        registry.answer.notify_one();
        rooms.get(&room()).await.unwrap();
        tokio::time::advance(FRESH).await;
        let room = room();
        let crowd = futures_util::future::join_all((0..100).map(|_| rooms.get(&room))).await;
        assert_eq!(registry.looks.load(Ordering::SeqCst), 2);
        assert!(crowd.into_iter().all(|known| known.is_ok()));
        assert_eq!(rooms.get(&room).await.unwrap().policy.capacity, 2);
    }

    /// Answers until it is told to be away.
    #[derive(Default)]
    struct Away(std::sync::atomic::AtomicBool);

    #[async_trait]
    impl Registry for Away {
        async fn save_policy(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
            self.save(record).await
        }

        async fn save(&self, record: &RoomRecord) -> Result<RoomRecord, StoreError> {
            Ok(record.clone())
        }

        async fn load(&self, room: &RoomId) -> Result<Option<RoomRecord>, StoreError> {
            match self.0.load(Ordering::SeqCst) {
                true => Err(StoreError::Unavailable("away".to_owned())),
                false => Ok((room.as_str() == "demo").then(|| record(1))),
            }
        }

        async fn all(&self) -> Result<Vec<RoomRecord>, StoreError> {
            Ok(Vec::new())
        }
    }

    fn refusal(answer: Result<Arc<RoomRecord>, Problem>) -> &'static str {
        answer.err().map_or("none", |problem| problem.code)
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_room_goes_on_while_the_registry_is_away() {
        let registry = Arc::new(Away::default());
        let rooms = Rooms::new(registry.clone());
        rooms.get(&room()).await.unwrap();
        registry.0.store(true, Ordering::SeqCst);
        tokio::time::advance(FRESH * 60).await;
        assert_eq!(rooms.get(&room()).await.unwrap().policy.capacity, 1);
        assert_eq!(refusal(rooms.named("other").await), "unavailable");
        registry.0.store(false, Ordering::SeqCst);
        assert_eq!(refusal(rooms.named("other").await), "unknown_room");
    }
}
