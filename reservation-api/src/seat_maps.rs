//! What a node remembers of seats and dates for a moment. A write of this node makes what was read before
//! it old at once, so a seat it sold is never shown free by it; other nodes' writes come by event, and
//! the short life of an entry is what lies beneath.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::ports::reservations::{DateRow, SeatPlan};
use kernel::ports::{ReservationStore, StoreError};
use kernel::reservation::SeatState;
use kernel::words::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub struct SeatMaps {
    store: Arc<dyn ReservationStore>,
    ttl: Duration,
    /// Performances and concerts that exist; few, and none is ever removed.
    maps: RwLock<HashMap<String, Arc<SeatMap>>>,
    dates: RwLock<HashMap<String, Arc<Dates>>>,
    /// Counts this node's writes to any performance.
    writes: AtomicU64,
}

/// A performance: its plan for ever, the states of its seats for a moment.
pub struct SeatMap {
    pub plan: SeatPlan,
    writes: AtomicU64,
    /// Locked while it is read anew, so that a crowd causes one read.
    states: Mutex<Option<Remembered<SeatState>>>,
}

type Dates = Mutex<Option<Remembered<DateRow>>>;

struct Remembered<T> {
    items: Arc<[T]>,
    /// The count of writes before it was read.
    writes: u64,
    at: Instant,
}

impl SeatMaps {
    pub fn new(store: Arc<dyn ReservationStore>, ttl: Duration) -> Self {
        Self { store, ttl, maps: RwLock::default(), dates: RwLock::default(), writes: AtomicU64::new(0) }
    }

    /// The seats of a performance in the order of its plan; absent when there is no such performance.
    pub async fn seats(
        &self,
        performance_id: &str,
        now: Timestamp,
    ) -> Result<Option<(Arc<SeatMap>, Arc<[SeatState]>)>, StoreError> {
        let Some(map) = self.map(performance_id).await? else { return Ok(None) };
        let mut remembered = map.states.lock().await;
        let writes = map.writes.load(Ordering::SeqCst);
        if let Some(states) = fresh(remembered.as_ref(), writes, self.ttl) {
            return Ok(Some((map.clone(), states)));
        }
        let mut states = vec![SeatState::Free; map.plan.seats.len()];
        for (place, state) in self.store.taken(performance_id, now).await? {
            if let Some(seat) = states.get_mut(place) {
                *seat = state;
            }
        }
        let states: Arc<[SeatState]> = states.into();
        *remembered = Some(Remembered { items: states.clone(), writes, at: Instant::now() });
        drop(remembered);
        Ok(Some((map, states)))
    }

    /// A concert's dates; absent when there is no such concert.
    pub async fn dates(
        &self,
        concert_id: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<[DateRow]>>, StoreError> {
        let known = read(&self.dates).get(concert_id).cloned();
        let dates = known.clone().unwrap_or_default();
        let mut remembered = dates.lock().await;
        let writes = self.writes.load(Ordering::SeqCst);
        if let Some(rows) = fresh(remembered.as_ref(), writes, self.ttl) {
            return Ok(Some(rows));
        }
        let Some(rows) = self.store.dates(concert_id, now).await? else { return Ok(None) };
        let rows: Arc<[DateRow]> = rows.into();
        *remembered = Some(Remembered { items: rows.clone(), writes, at: Instant::now() });
        drop(remembered);
        if known.is_none() {
            write(&self.dates).entry(concert_id.to_owned()).or_insert(dates);
        }
        Ok(Some(rows))
    }

    /// Something about the performance was written: what was read of it before is old.
    pub fn touch(&self, performance_id: &str) {
        if let Some(map) = read(&self.maps).get(performance_id) {
            map.writes.fetch_add(1, Ordering::SeqCst);
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
    }

    async fn map(&self, performance_id: &str) -> Result<Option<Arc<SeatMap>>, StoreError> {
        if let Some(map) = read(&self.maps).get(performance_id) {
            return Ok(Some(map.clone()));
        }
        let Some(plan) = self.store.seat_plan(performance_id).await? else { return Ok(None) };
        let map = Arc::new(SeatMap { plan, writes: AtomicU64::new(0), states: Mutex::default() });
        Ok(Some(write(&self.maps).entry(performance_id.to_owned()).or_insert(map).clone()))
    }
}

fn fresh<T>(remembered: Option<&Remembered<T>>, writes: u64, ttl: Duration) -> Option<Arc<[T]>> {
    let remembered = remembered?;
    let good = remembered.writes == writes && remembered.at.elapsed() < ttl;
    good.then(|| remembered.items.clone())
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
