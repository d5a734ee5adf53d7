//! A room on this node: its events go from here to the shards where its visitors sit, and here it is told who
//! of them is present.

use std::sync::Arc;
use std::time::Duration;

use edge::mirror::{Followed, Mirror};
use futures_util::future::join_all;
use kernel::event::{Event, RoomFact};
use roaring::RoaringTreemap;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::shard::{News, Post, Shards};

const LONGEST_REPORT_INTERVAL: Duration = Duration::from_secs(1);

pub struct Hall {
    /// Tells halls apart: a room that was forgotten and made anew has another.
    pub id: u64,
    pub core: Arc<Core>,
    pub mirror: Arc<Mirror>,
    /// Set when another hall has taken this one's place.
    closed: CancellationToken,
}

impl Hall {
    /// Begins to pass a room's events on to the shards. It ends when the process drains, or by [`Hall::close`].
    pub fn open(id: u64, core: Arc<Core>, mirror: Arc<Mirror>, shards: Arc<Shards>) -> Arc<Self> {
        // Listen first: what happens from here on is heard, what happened before is in the state.
        let followed = mirror.listen();
        let hall = Arc::new(Self { id, core, mirror, closed: CancellationToken::new() });
        tokio::spawn(Steward { hall: hall.clone(), shards, report: None, told: false }.attend(followed));
        hall
    }

    /// Sends everybody elsewhere.
    pub fn close(&self) {
        self.closed.cancel();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

/// Who passes on what happens in a hall, and reports.
struct Steward {
    hall: Arc<Hall>,
    shards: Arc<Shards>,
    report: Option<JoinHandle<bool>>,
    /// Somebody was there at the last report.
    told: bool,
}

impl Steward {
    async fn attend(mut self, mut followed: broadcast::Receiver<Followed>) {
        let mut report = tokio::time::interval(self.report_interval());
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (hall, shards) = (self.hall.clone(), self.shards.clone());
        loop {
            let news = tokio::select! {
                () = hall.core.draining.cancelled() => break,
                () = hall.closed.cancelled() => break,
                _ = report.tick() => {
                    self.report_present().await;
                    report.reset_after(self.report_interval());
                    continue;
                }
                heard = followed.recv() => match heard {
                    Ok(Followed::Event(record)) if concerns_the_connected(&record.event) => News::Event(record),
                    Ok(Followed::Event(_)) => continue,
                    Ok(Followed::Anew) | Err(RecvError::Lagged(_)) => News::Anew,
                    Err(RecvError::Closed) => break,
                },
            };
            shards.all().for_each(|shard| shard.post(Post::News(hall.id, news.clone())));
        }
        hall.close();
        shards.all().for_each(|shard| shard.post(Post::Close(hall.id)));
    }

    /// Tells who is here, unless the last report is still on its way.
    async fn report_present(&mut self) {
        match &mut self.report {
            Some(report) if !report.is_finished() => return,
            // A report that broke off told nothing.
            Some(report) => self.told = report.await.unwrap_or(self.told),
            None => {}
        }
        self.report = Some(tokio::spawn(report(self.hall.clone(), self.shards.clone(), self.told)));
    }

    /// Four reports in a grace at least, so that a lost one makes nobody absent.
    fn report_interval(&self) -> Duration {
        let grace = self.hall.mirror.read(|state| state.policy.grace_seconds).unwrap_or(1);
        Duration::from_secs(grace).div_f64(4.0).clamp(Duration::from_millis(100), LONGEST_REPORT_INTERVAL)
    }
}

/// Joins and progress move nobody who is connected; the next sweep finds the figures.
fn concerns_the_connected(event: &Event) -> bool {
    let Event::Room(event) = event else { return false };
    match event.fact {
        RoomFact::RoomConfigured { .. }
        | RoomFact::RoomRebuilt { .. }
        | RoomFact::WaitingTokensIssued { .. }
        | RoomFact::RoomProgressed { .. } => false,
        RoomFact::RoomStateChanged { .. }
        | RoomFact::WaitingTokensDeparted { .. }
        | RoomFact::WaitingTokensReinstated { .. }
        | RoomFact::ActiveTokensIssued { .. }
        | RoomFact::ActiveTokenClaimed { .. }
        | RoomFact::ActiveTokenRenewed { .. }
        | RoomFact::ActiveTokenReleased { .. } => true,
    }
}

/// Asks the shards who is present and tells it; answers whether somebody is.
async fn report(hall: Arc<Hall>, shards: Arc<Shards>, told: bool) -> bool {
    let asked = shards.all().map(|shard| {
        let (answer, present) = oneshot::channel();
        shard.post(Post::Present(hall.id, answer));
        present
    });
    let here = join_all(asked).await.into_iter().flatten();
    let present = here.fold(RoaringTreemap::new(), |all, some| all | some);
    let somebody = !present.is_empty();
    // Nobody is worth one report: it takes back what the last one said.
    if somebody || told {
        let (ports, config, room) = (&hall.core.ports, &hall.core.config, hall.mirror.room());
        let now = ports.clock.now();
        let reported = ports.presence.report(&config.node, room, present, config.lease_seconds, now).await;
        if let Err(error) = reported {
            metrics::counter!("turnline_channel_reports_failed_total").increment(1);
            tracing::warn!(%room, %error, "who is present could not be reported; the next report will tell");
        }
    }
    somebody
}
