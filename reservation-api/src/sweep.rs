//! Housekeeping: holds that ran out, cancellations that got stuck, rows nobody asks for any more.
//! Nothing depends on it being on time: a deadline counts by itself.

use std::sync::Arc;

use kernel::ports::StoreError;
use kernel::words::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::Shop;

const AT_ONCE: usize = 500;
/// Events that were told or handled are kept for a look back, and to be known when they come again.
pub const DONE_KEPT_MS: u64 = 10 * 60 * 1000;
/// Longer than the longest session, so that no pass outlives the keys it may repeat.
const KEPT_MS: u64 = 8 * 24 * 60 * 60 * 1000;
/// Rounds of the sweep between two of the pruning.
const PRUNE_EVERY: u64 = 30;

pub async fn run(shop: &Arc<Shop>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(shop.config.sweep_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = sweep(shop, round, shop.now()).await {
            tracing::warn!(%error, "a sweep failed; the next one goes on");
        }
        round += 1;
    }
}

async fn sweep(shop: &Shop, round: u64, now: Timestamp) -> Result<(), StoreError> {
    let freed = shop.store().sweep(now, AT_ONCE).await?;
    freed.iter().for_each(|performance_id| shop.seats_moved(performance_id));
    let patience = u64::try_from(shop.config.cancel_patience.as_millis()).unwrap_or(u64::MAX);
    let recalled = shop.store().recall_cancellations(now.minus_millis(patience), AT_ONCE, now).await?;
    if recalled > 0 {
        tracing::warn!(recalled, "cancellations took too long and were asked for again");
        shop.posted.notify_one();
    }
    if round.is_multiple_of(PRUNE_EVERY) {
        // Small batches, so that no write waits long behind one.
        let (done, kept) = (now.minus_millis(DONE_KEPT_MS), now.minus_millis(KEPT_MS));
        while shop.store().prune(done, kept, AT_ONCE).await? {}
    }
    Ok(())
}
