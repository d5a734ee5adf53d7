//! One room in one process. Whatever callers want of it while Redis is busy is decided together on the copy
//! held here, offered to Redis in one step, and answered once it stands there. When another process was
//! faster, nothing of it happened: the copy follows what it missed and everything is decided again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kernel::ports::StoreError;
use kernel::room::{Fold, Tentative};
use kernel::words::RoomId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::ceiling::Ceiling;
use super::job::{Job, PATIENCE};
use super::keys::RoomKeys;
use super::link::Fault;
use super::parts::Parts;
use super::rivals::Rivals;
use super::scripts::{Entry, MISSED_MAX, Mark, Offered, written};

/// Jobs in one step at most, so that the first of them does not wait for ever.
const GROUP: usize = 512;
/// Pause before Redis is asked again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// A desk that nobody came to for so long is closed; the next caller opens it anew.
const IDLE: Duration = Duration::from_secs(600);

/// The room as this process knows it.
pub(super) struct Copy {
    pub tentative: Tentative,
    /// Of the newest event that is agreed on.
    pub writer: String,
}

impl Copy {
    fn mark(&self) -> Mark {
        Mark { seq: self.tentative.agreed().seq, writer: self.writer.clone() }
    }

    /// Takes up what others wrote; false when it does not fit behind what is here.
    fn follow(&mut self, entries: Vec<Entry>) -> bool {
        entries.into_iter().all(|entry| {
            self.writer = entry.writer;
            self.tentative.follow(&entry.event) != Fold::Gap
        })
    }
}

pub(super) struct Desk {
    pub parts: Arc<Parts>,
    pub room: RoomId,
    pub keys: RoomKeys,
    pub copy: Option<Copy>,
    /// The newest event of the room that was seen anywhere in this process.
    pub furthest: Arc<AtomicU64>,
    ceiling: Ceiling,
    /// Joins that wait until their numbers are reserved.
    parked: Vec<Job>,
    /// The copy was the newest at a moment after everybody of the group had come.
    pub current: bool,
    rivals: Rivals,
    /// How long to leave the room to others now.
    turn: Duration,
    /// The last step failed, and that was told.
    failing: bool,
}

impl Desk {
    pub fn new(parts: Arc<Parts>, room: RoomId) -> Self {
        let (keys, furthest) = (parts.scripts.space.room(&room), parts.furthest(&room));
        let (ceiling, parked) = (Ceiling::unknown(), Vec::new());
        Self {
            parts,
            room,
            keys,
            copy: None,
            furthest,
            ceiling,
            parked,
            current: false,
            rivals: Rivals::default(),
            turn: Duration::ZERO,
            failing: false,
        }
    }

    /// Serves callers until nobody can come any more, nobody has come for long, or there is no such room.
    pub async fn work(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let (mut group, mut over) = (Vec::new(), false);
        while !over || !self.parked.is_empty() {
            tokio::select! {
                count = jobs.recv_many(&mut group, GROUP), if !over => over = count == 0,
                () = self.ceiling.answered(), if !self.parked.is_empty() => {}
                () = sleep(PATIENCE), if !self.parked.is_empty() => {}
                () = sleep(IDLE), if !over => jobs.close(),
            }
            group.splice(..0, self.parked.drain(..));
            self.serve(&mut group).await;
            match std::mem::take(&mut self.turn) {
                Duration::ZERO => {}
                // Who comes meanwhile goes into one step.
                turn => sleep(turn).await,
            }
            if self.copy.is_none() && self.parked.is_empty() {
                // Nothing is known here, so there is nothing to keep; who came meanwhile is still served.
                jobs.close();
            }
        }
    }

    async fn serve(&mut self, group: &mut Vec<Job>) {
        self.current = false;
        while !group.is_empty() {
            let failed = match self.step(group).await {
                Ok(()) => {
                    if std::mem::take(&mut self.failing) {
                        tracing::info!(room = %self.room, "the room's store answers again");
                    }
                    StoreError::Unavailable("other processes were faster each time".to_owned())
                }
                Err(Fault::Broken(why)) => {
                    tracing::error!(room = %self.room, %why, "the room cannot be worked with");
                    let broken = || StoreError::Broken(why.clone());
                    return group.drain(..).for_each(|job| job.fail(broken()));
                }
                Err(Fault::Away(why)) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(room = %self.room, %why, "the room's store does not answer; trying again");
                    }
                    sleep(PAUSE).await;
                    StoreError::Unavailable(why)
                }
            };
            for job in group.extract_if(.., |job| job.out_of_patience()) {
                job.fail(failed.clone());
            }
        }
    }

    /// Tries the group once. Whoever is answered or has to wait for numbers is no more in it.
    async fn step(&mut self, group: &mut Vec<Job>) -> Result<(), Fault> {
        group.retain(|job| !job.deserted());
        if group.is_empty() {
            return Ok(());
        }
        if self.copy.is_none() {
            self.find(group).await?;
        }
        let doubting = group.iter().position(|job| job.doubts);
        let mark = self.copy.as_ref().map(Copy::mark);
        if let (Some(at), Some(mark)) = (doubting, mark) {
            self.restore(mark).await?;
            // Without a copy somebody was faster, and it is to be tried on what there is now.
            if self.copy.is_some() {
                group.remove(at).succeed();
            }
        }
        match self.run(group) {
            Ran::All => self.offer(group).await,
            Ran::Anew => Ok(()),
        }
    }

    /// Lets everybody work on the copy.
    fn run(&mut self, group: &mut Vec<Job>) -> Ran {
        let Some(copy) = &mut self.copy else { return Ran::Anew };
        let room = copy.tentative.room();
        let (mut beyond, first) = (Vec::new(), room.state().issued);
        for at in 0..group.len() {
            let before = room.state().issued;
            if group[at].run(room).is_err() {
                tracing::error!(room = %self.room, "a job of the store panicked, a fault of ours; it is answered as failed");
                group.remove(at).fail(StoreError::Unavailable("a fault of ours".to_owned()));
                self.copy = None;
                return Ran::Anew;
            }
            let issued = room.state().issued;
            if issued > before && !self.ceiling.covers(issued) {
                beyond.push(at);
            }
        }
        let issued = room.state().issued;
        if issued > first {
            self.ceiling.keep_ahead(&self.parts, &self.room, issued);
        }
        if beyond.is_empty() {
            return Ran::All;
        }
        copy.tentative.withdraw();
        for at in beyond.into_iter().rev() {
            let job = group.remove(at);
            if job.out_of_patience() {
                job.fail(StoreError::Unavailable("no numbers can be reserved in the database".to_owned()));
            } else {
                self.parked.push(job);
            }
        }
        Ran::Anew
    }

    /// Offers what the group recorded, or asks whether the copy it read is the newest.
    async fn offer(&mut self, group: &mut Vec<Job>) -> Result<(), Fault> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        if self.current && copy.tentative.drafts().is_empty() {
            group.drain(..).for_each(Job::succeed);
            return Ok(());
        }
        let known = self.furthest.load(Ordering::Acquire);
        let (mark, writer) = (copy.mark(), self.parts.next_writer());
        let events: Result<Vec<_>, _> = copy.tentative.drafts().iter().map(written).collect();
        let events = events?;
        let began = Instant::now();
        let (offered, repeated) =
            append(&self.parts, &self.room, &self.keys, &mark, &writer, &events, group).await;
        let won = match &offered {
            Ok(Offered::Done) => events.len() as u64 + mark.seq >= known,
            // An offer whose answer got lost.
            Ok(Offered::Missed(entries)) => {
                !events.is_empty() && entries.first().is_some_and(|entry| entry.writer == writer)
            }
            Ok(Offered::Trimmed | Offered::Other(_) | Offered::Absent) | Err(_) => false,
        };
        if won {
            if !events.is_empty() {
                self.turn = self.rivals.turn(began.elapsed());
                copy.tentative.agree();
                copy.writer = writer;
                self.furthest.fetch_max(copy.tentative.agreed().seq, Ordering::AcqRel);
                metrics::counter!("turnline_store_commits_total").increment(1);
            }
            group.drain(..).for_each(Job::succeed);
            return Ok(());
        }
        copy.tentative.withdraw();
        let untraced = matches!(offered, Ok(Offered::Trimmed | Offered::Other(_) | Offered::Absent));
        if untraced && repeated && !events.is_empty() {
            // The first try may have got through and its events be gone since: once more would be twice.
            let unknown = "the answer of the room's store was lost, and whether it was done cannot be told";
            group.drain(..).for_each(|job| job.fail(StoreError::Unavailable(unknown.to_owned())));
        }
        match offered? {
            Offered::Missed(entries) => {
                metrics::counter!("turnline_store_races_lost_total").increment(u64::from(!events.is_empty()));
                self.current = entries.len() < MISSED_MAX;
                entries.iter().for_each(|entry| self.rivals.note(&entry.writer, &self.parts.scripts.node));
                let whole = copy.follow(entries);
                self.furthest.fetch_max(copy.tentative.agreed().seq, Ordering::AcqRel);
                if !whole {
                    self.copy = None;
                }
                Ok(())
            }
            Offered::Trimmed | Offered::Absent => {
                self.copy = None;
                Ok(())
            }
            // It has what was offered, and yet less than we know there was.
            Offered::Done => {
                let newest = if events.is_empty() {
                    mark
                } else {
                    Mark { seq: mark.seq + events.len() as u64, writer }
                };
                self.restore(newest).await
            }
            Offered::Other(found) => self.restore(found).await,
        }
    }
}

enum Ran {
    All,
    /// Some of the group are out of it, and the others have to run again.
    Anew,
}

/// Offers as long as somebody waits for it: an offer that was made twice counts once. Tells as well whether it
/// took more than one try.
async fn append(
    parts: &Parts,
    room: &RoomId,
    keys: &RoomKeys,
    mark: &Mark,
    writer: &str,
    events: &[Vec<u8>],
    group: &mut [Job],
) -> (Result<Offered, Fault>, bool) {
    let mut repeated = false;
    loop {
        let offered = parts.scripts.append(room, keys, mark, writer, events).await;
        let again = matches!(offered, Err(Fault::Away(_)))
            && group.iter().any(|job| !job.deserted() && !job.out_of_patience());
        if !again {
            return (offered, repeated);
        }
        repeated = true;
        sleep(PAUSE).await;
    }
}
