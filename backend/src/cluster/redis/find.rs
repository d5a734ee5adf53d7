//! How a desk comes to its copy of the room: from Redis; where Redis has lost the room, from the log; where
//! there never was one, from who makes it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use kernel::event::{RoomEvent, RoomFact};
use kernel::ports::StoreError;
use kernel::room::{Checkpoint, Room, Tentative, surviving};
use kernel::words::{Number, Timestamp};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::desk::{Copy, Desk, PAUSE};
use super::job::Job;
use super::link::Fault;
use super::pack::{Known, unpacked};
use super::scripts::{Install, Loaded, Mark};

/// A rebuilt room goes on so far ahead that no `seq` of the lost one is used again.
const JUMP: u64 = 1 << 32;
/// So long one process may rebuild a room before another tries as well.
const REBUILD_MS: u64 = 5_000;

/// What is left of a room.
struct Remains {
    events: Vec<RoomEvent>,
    /// What Redis still has goes on from what the log has; it has yet to be relayed.
    relayed: Option<u64>,
    /// Up to this number tickets may be out.
    ceiling: Number,
    /// The newest event that anybody may know of.
    furthest: u64,
}

/// A room made of its remains, ready to be put in place.
struct Remade {
    room: Room,
    fresh: Vec<RoomEvent>,
    checkpoint: (u64, Vec<u8>, Known),
    relayed: u64,
    events: usize,
}

impl Desk {
    /// Finds the room, or answers those who asked for one that nobody made. May have to be called again.
    pub(super) async fn find(&mut self, group: &mut Vec<Job>) -> Result<(), Fault> {
        let known = self.furthest.load(Ordering::Acquire);
        let Some(loaded) = self.parts.bulk.load(&self.keys, self.parts.window()).await? else {
            return if self.parts.ceilings.known(&self.room).await? {
                self.rebuild(None, group).await
            } else {
                self.make(0, group).await
            };
        };
        let mark = loaded.mark.clone();
        let read = blocking(move || read(loaded)).await?;
        match read {
            Some(room) if mark.seq >= known => {
                self.take(room, mark);
                Ok(())
            }
            Some(_) | None => self.restore(mark).await,
        }
    }

    /// Makes the room anew because what Redis has of it, which is at `seen`, cannot be gone on from.
    pub(super) async fn restore(&mut self, seen: Mark) -> Result<(), Fault> {
        self.copy = None;
        self.rebuild(Some(seen), &mut Vec::new()).await
    }

    fn take(&mut self, room: Room, mark: Mark) {
        self.furthest.fetch_max(mark.seq, Ordering::AcqRel);
        self.copy = Some(Copy { tentative: Tentative::new(room), writer: mark.writer });
        self.current = true;
    }

    /// Puts the room in place that somebody of the group makes; nobody does: there is none. Where numbers up
    /// to `ceiling` may be out although no event tells of the room, it goes on above them.
    async fn make(&mut self, ceiling: Number, group: &mut Vec<Job>) -> Result<(), Fault> {
        let Some((at, mut room)) = group.iter_mut().enumerate().find_map(|(at, job)| Some((at, job.make()?)))
        else {
            group.drain(..).for_each(|job| job.fail(StoreError::UnknownRoom));
            return Ok(());
        };
        // From now on the room is known, and made anew should Redis lose it.
        self.parts.ceilings.reserve(&self.room, ceiling).await?;
        if ceiling > 0 {
            let furthest = room.state().seq.max(self.furthest.load(Ordering::Acquire));
            room.rebuilt(beyond(furthest), ceiling, self.parts.clock.now());
        }
        let fresh = room.take_events();
        if self.install(None, &fresh, 0, None, room).await? {
            group.remove(at).succeed();
        }
        Ok(())
    }

    /// Makes the room from the log, and what Redis may have that the log does not. One process does; the
    /// others load what it made.
    async fn rebuild(&mut self, seen: Option<Mark>, group: &mut Vec<Job>) -> Result<(), Fault> {
        let work = format!("rebuild.{}", self.room);
        if !self.parts.scripts.lease(&work, &self.parts.scripts.node, REBUILD_MS).await? {
            sleep(PAUSE).await;
            return Ok(());
        }
        let rebuilt = self.rebuild_alone(seen, group).await;
        self.parts.scripts.release(&work, &self.parts.scripts.node).await?;
        rebuilt
    }

    async fn rebuild_alone(&mut self, seen: Option<Mark>, group: &mut Vec<Job>) -> Result<(), Fault> {
        let began = Instant::now();
        let remains = self.remains(seen.as_ref()).await?;
        if remains.events.is_empty() {
            return match seen {
                None => self.make(remains.ceiling, group).await,
                Some(_) => {
                    Err(Fault::Broken("Redis has a part of the room only, and the log nothing".to_owned()))
                }
            };
        }
        tracing::warn!(room = %self.room, found = ?seen, "a room that was made is not whole in Redis; it is made anew from the event log");
        let (now, window) = (self.parts.clock.now(), self.parts.window());
        let remade = blocking(move || remade(remains, now, window)).await??;
        let Remade { room, fresh, checkpoint, relayed, events } = remade;
        let (seq, issued) = (room.state().seq, room.state().issued);
        if self.install(seen.as_ref(), &fresh, relayed, Some(checkpoint), room).await? {
            metrics::counter!("turnline_rooms_rebuilt_total").increment(1);
            let seconds = began.elapsed().as_secs_f64();
            tracing::warn!(room = %self.room, events, seq, issued, seconds, "the room was made anew from the event log");
        }
        Ok(())
    }

    /// Puts a room in place of what was seen; false when somebody else was faster.
    async fn install(
        &mut self,
        seen: Option<&Mark>,
        events: &[RoomEvent],
        relayed: u64,
        checkpoint: Option<(u64, Vec<u8>, Known)>,
        room: Room,
    ) -> Result<bool, Fault> {
        let writer = self.parts.next_writer();
        let install = Install { writer: &writer, relayed, checkpoint, events };
        let window = self.parts.window();
        let done = self.parts.bulk.install(&self.room, &self.keys, seen, install, window).await?;
        if done {
            let seq = room.state().seq;
            self.take(room, Mark { seq, writer });
        }
        Ok(done)
    }

    async fn remains(&mut self, seen: Option<&Mark>) -> Result<Remains, Fault> {
        let history = self.parts.log.history(&self.room).await;
        let mut events = history.map_err(|error| Fault::Away(error.to_string()))?;
        let ceiling = self.parts.ceilings.ceiling(&self.room).await?;
        let told = events.last().map_or(0, |event| event.seq);
        let mut relayed = None;
        if seen.is_some() {
            // From the last event that the log has, by which it shows whether the two are one story.
            let left = self.parts.bulk.entries(&self.keys, told.saturating_sub(1), usize::MAX >> 1).await?;
            let mut left = left.into_iter().map(|entry| entry.event).peekable();
            let same = match left.next_if(|event| event.seq == told) {
                Some(event) => events.last() == Some(&event),
                None => left.peek().is_none_or(|event| follows(event, told)),
            };
            if same {
                relayed = Some(told);
                events.extend(left);
            }
        }
        let furthest = [
            events.last().map_or(0, |event| event.seq),
            self.furthest.load(Ordering::Acquire),
            seen.map_or(0, |mark| mark.seq),
        ];
        Ok(Remains { events, relayed, ceiling, furthest: furthest.into_iter().max().unwrap_or(0) })
    }
}

/// The room that was loaded; `None` when it is not whole.
fn read(loaded: Loaded) -> Option<Room> {
    let Loaded { mark, checkpoint_seq, checkpoint, visitors, keys, entries } = loaded;
    let room = if checkpoint_seq == 0 {
        let events: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
        Room::of_history(&events)?
    } else {
        let checkpoint: Checkpoint = rmp_serde::from_slice(&checkpoint).ok()?;
        let mut room = Room::restore(checkpoint, unpacked(&visitors, &keys));
        entries.iter().for_each(|entry| room.apply(&entry.event));
        room
    };
    (room.state().seq == mark.seq).then_some(room)
}

fn remade(remains: Remains, now: Timestamp, window: u64) -> Result<Remade, Fault> {
    let Remains { events, relayed, ceiling, furthest } = remains;
    let from_its_middle = || Fault::Broken("the log does not have the room's first event".to_owned());
    let mut room = Room::of_history(&events).ok_or_else(from_its_middle)?;
    let seq = beyond(furthest);
    room.rebuilt(seq, ceiling.max(room.state().issued), now);
    let written = rmp_serde::to_vec_named(&room.checkpoint());
    let written = written.map_err(|error| Fault::Broken(error.to_string()))?;
    let known = Known::of(surviving(&events), window);
    Ok(Remade {
        fresh: room.take_events(),
        room,
        checkpoint: (seq, written, known),
        relayed: relayed.unwrap_or(seq - 1),
        events: events.len(),
    })
}

/// Whether nothing is missing between `seq` and the event.
fn follows(event: &RoomEvent, seq: u64) -> bool {
    let rebuilt = matches!(event.fact, RoomFact::RoomRebuilt { through_seq, .. } if through_seq == seq);
    rebuilt || event.seq == seq + 1
}

/// A `seq` that nobody can know of yet, and the same for all who know about as much.
fn beyond(furthest: u64) -> u64 {
    (furthest + JUMP / 2).next_multiple_of(JUMP)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    spawn_blocking(work).await.map_err(|error| Fault::Away(error.to_string()))
}
