//! Rooms to measure with: made in a registry and a store, and filled in batches of wishes that nobody sent before.

use std::sync::Arc;

use kernel::policy::{Policy, PrequeueOrder};
use kernel::ports::{Registry, RoomRecord, RoomStore};
use kernel::room::{Join, Joined};
use kernel::ticket::RoomBirth;
use kernel::words::{Digest, LaneName, RoomId, Timestamp};

/// What is known of those who join, beside their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Nothing,
    Visitor,
    Key,
}

impl Known {
    /// The wish of the `nth` who joins; other than that of any other `nth`.
    pub fn wish(self, nth: u64) -> Join {
        let digest = || Some(digest(nth));
        let (visitor, key) = match self {
            Self::Nothing => (None, None),
            Self::Visitor => (digest(), None),
            Self::Key => (None, digest()),
        };
        Join { lane: LaneName::default_lane(), holding: None, visitor, key }
    }

    pub fn wishes(self, from: u64, count: u64) -> Vec<Join> {
        (from..from + count).map(|nth| self.wish(nth)).collect()
    }
}

/// An open room in which nobody is called soon and nobody is ended.
pub fn policy() -> Policy {
    Policy {
        capacity: 5,
        admit_per_minute: None,
        active_seconds: 300,
        max_session_seconds: 900,
        claim_seconds: 60,
        grace_seconds: 86_400,
        max_waiting: None,
        opens_at: None,
        closes_at: None,
        prequeue: PrequeueOrder::Fifo,
        lanes: Vec::new(),
        go_to: None,
    }
}

pub async fn make(
    registry: &dyn Registry,
    store: &dyn RoomStore,
    name: &str,
    now: Timestamp,
) -> anyhow::Result<RoomId> {
    let (room, policy) = (RoomId::parse(name)?, policy());
    let birth = RoomBirth { room: room.clone(), born: 1 };
    let record = RoomRecord { birth, policy: policy.clone(), visitor_key: None, lottery_secret: [1; 32] };
    registry.save(&record).await?;
    store.configure(&room, &policy, None, now).await?;
    Ok(room)
}

/// Has `count` join in batches, `callers` of them at a time.
pub async fn fill(
    store: &Arc<dyn RoomStore>,
    room: &RoomId,
    known: Known,
    count: u64,
    (batch, callers): (u64, usize),
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut waves = tokio::task::JoinSet::new();
    for from in (0..count).step_by(usize::try_from(batch)?) {
        let wishes = known.wishes(from, batch.min(count - from));
        let (store, room) = (store.clone(), room.clone());
        waves.spawn(async move { join(store.as_ref(), &room, wishes, now).await });
        if waves.len() >= callers
            && let Some(wave) = waves.join_next().await
        {
            wave??;
        }
    }
    while let Some(wave) = waves.join_next().await {
        wave??;
    }
    Ok(())
}

/// One call of the store, by which everybody must get a new place.
pub async fn join(
    store: &dyn RoomStore,
    room: &RoomId,
    wishes: Vec<Join>,
    now: Timestamp,
) -> anyhow::Result<()> {
    let answers = store.join(room, wishes, now).await?;
    let odd = answers.iter().find(|answer| !matches!(answer.joined, Joined::New(_)));
    anyhow::ensure!(odd.is_none(), "somebody got no new place: {:?}", odd.map(|answer| answer.joined));
    Ok(())
}

/// Spread over all bits, as hashes are (splitmix64, by Sebastiano Vigna).
fn digest(nth: u64) -> Digest {
    let mixed = |nth: u64| {
        let z = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (high, low) = (mixed(nth).to_be_bytes(), mixed(!nth).to_be_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(high.into_iter().chain(low)).for_each(|(to, from)| *to = from);
    Digest(bytes)
}
