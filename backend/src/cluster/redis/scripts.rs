//! The scripts, each with the keys and arguments that its header names, and the calls that need none. Mechanism
//! only: they guard, they never decide.

use std::sync::LazyLock;

use kernel::event::RoomEvent;
use kernel::words::RoomId;
use redis::{Cmd, Script, cmd, pipe};

use super::keys::{RoomKeys, Space};
use super::link::{Fault, Link};
use super::pack::Known;

/// Missed events that one answer tells at most.
pub(super) const MISSED_MAX: usize = 500;

/// One version of a room: the newest event, and who wrote it. A `seq` alone does not do, since a Redis that
/// lost its newest events uses them again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub seq: u64,
    pub writer: String,
}

/// An event as the stream has it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub event: RoomEvent,
    pub writer: String,
    /// Of its JSON.
    pub bytes: usize,
}

/// What became of an offer of events.
#[derive(Debug)]
pub(super) enum Offered {
    /// The events stand behind what the process had; without any: it had them all.
    Done,
    /// Others were faster; these come next.
    Missed(Vec<Entry>),
    /// Others were faster, and what comes next is gone already.
    Trimmed,
    /// The room has this, and does not have what the process has.
    Other(Mark),
    Absent,
}

/// All of a room as of one moment.
pub(super) struct Loaded {
    pub mark: Mark,
    /// Of seq 0 where there is none.
    pub checkpoint_seq: u64,
    pub checkpoint: Vec<u8>,
    pub visitors: Vec<u8>,
    /// The last window's, this one's, the next one's.
    pub keys: [Vec<u8>; 3],
    /// The events behind the checkpoint.
    pub entries: Vec<Entry>,
}

/// A room to put in place.
pub(super) struct Install<'a> {
    pub writer: &'a str,
    /// Seq up to which the log has all of it.
    pub relayed: u64,
    /// With its seq, and who is known up to there.
    pub checkpoint: Option<(u64, Vec<u8>, Known)>,
    pub events: &'a [RoomEvent],
}

/// How a room stands between Redis and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub seq: u64,
    pub relayed: u64,
    pub checkpoint: u64,
    /// Of the checkpoint itself.
    pub checkpoint_bytes: u64,
    /// Of events behind the checkpoint.
    pub bytes_behind: u64,
    /// Events that are kept.
    pub kept: u64,
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file))));
    };
}

script!(APPEND, "append.lua");
script!(INSTALL, "install.lua");
script!(CHECKPOINT, "checkpoint.lua");
script!(RELAYED, "relayed.lua");
script!(LEASE, "lease.lua");
script!(RELEASE, "release.lua");
script!(REPORT, "report.lua");

type RawEntry = (String, (String, Vec<u8>, String, String));
type RawHead = (Option<String>, Option<String>, Option<String>);
type RawRoom = (RawHead, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<RawEntry>);

/// The rooms of one Turnline in Redis.
pub(super) struct Scripts {
    pub link: Link,
    pub space: Space,
    /// What writers are called here; unique for ever.
    pub node: String,
}

impl Scripts {
    /// Offers `events` behind `mark`; none only asks what there is behind it. May be repeated with the same
    /// writer when its outcome is unknown: who finds a writer of its own in [`Offered::Missed`] had got through.
    pub async fn append(
        &self,
        room: &RoomId,
        keys: &RoomKeys,
        mark: &Mark,
        writer: &str,
        events: &[Vec<u8>],
    ) -> Result<Offered, Fault> {
        let mut call = APPEND.prepare_invoke();
        call.key(&keys.head).key(&keys.events);
        call.arg(mark.seq).arg(&mark.writer).arg(writer).arg(MISSED_MAX);
        call.arg(self.space.appended()).arg(room.as_str());
        for event in events {
            call.arg(event);
        }
        let (what, seq, found, entries): (String, String, String, Vec<RawEntry>) =
            self.link.invoke(&call).await?;
        match what.as_str() {
            "done" => Ok(Offered::Done),
            "missed" => Ok(Offered::Missed(read_entries(entries)?)),
            "trimmed" => Ok(Offered::Trimmed),
            "other" => Ok(Offered::Other(Mark { seq: number(&seq)?, writer: found })),
            "absent" => Ok(Offered::Absent),
            other => Err(Fault::broken(format!("the script `append` answered {other}"))),
        }
    }

    /// False when there is something else than was `seen` by now.
    pub async fn install(
        &self,
        room: &RoomId,
        keys: &RoomKeys,
        seen: Option<&Mark>,
        install: Install<'_>,
        window: u64,
    ) -> Result<bool, Fault> {
        let mut call = INSTALL.prepare_invoke();
        call.key(&keys.head).key(&keys.events).key(&keys.checkpoint).key(&keys.visitors);
        call.key(keys.keys(window.saturating_sub(1))).key(keys.keys(window));
        let seq = seen.map(|mark| mark.seq.to_string()).unwrap_or_default();
        call.arg(seq).arg(seen.map(|mark| mark.writer.as_str()).unwrap_or_default());
        let (checkpoint_seq, checkpoint, known) = install.checkpoint.unwrap_or_default();
        call.arg(install.writer).arg(install.relayed).arg(checkpoint_seq).arg(checkpoint);
        call.arg(known.visitors).arg(known.keys_before).arg(known.keys).arg(super::keys::WINDOWS_LIVE_MS);
        call.arg(self.space.appended()).arg(room.as_str());
        for event in install.events {
            call.arg(event.seq).arg(written(event)?);
        }
        self.link.invoke(&call).await
    }

    /// All of the room as of one moment; `None` when it is absent. In a transaction rather than a script: a script
    /// would copy it several times within Redis, which serves nobody meanwhile.
    pub async fn load(&self, keys: &RoomKeys, window: u64) -> Result<Option<Loaded>, Fault> {
        let head = || cmd("HMGET").arg(&keys.head).arg("seq").arg("writer").arg("checkpoint").take();
        let (_, _, seen): RawHead = self.link.run(&head()).await?;
        let Some(seen) = seen else { return Ok(None) };
        let mut all = pipe();
        all.atomic().add_command(head()).get(&keys.checkpoint).get(&keys.visitors);
        all.get(keys.keys(window.saturating_sub(1))).get(keys.keys(window)).get(keys.keys(window + 1));
        all.add_command(behind(&keys.events, number(&seen)?));
        let (head, checkpoint, visitors, before, now, next, entries): RawRoom =
            self.link.run_all(&all).await?;
        let (Some(seq), Some(writer), Some(checkpoint_seq)) = head else { return Ok(None) };
        let checkpoint_seq = number(&checkpoint_seq)?;
        if checkpoint_seq < number(&seen)? {
            return Err(Fault::away("the room was made anew while it was read"));
        }
        let mut entries = read_entries(entries)?;
        // There may have been a newer checkpoint by then.
        entries.retain(|entry| entry.event.seq > checkpoint_seq);
        let mark = Mark { seq: number(&seq)?, writer };
        Ok(Some(Loaded { mark, checkpoint_seq, checkpoint, visitors, keys: [before, now, next], entries }))
    }

    /// Keeps a checkpoint that follows the one at `before`; false when another was faster.
    pub async fn checkpoint(
        &self,
        keys: &RoomKeys,
        before: u64,
        seq: u64,
        checkpoint: &[u8],
        known: &Known,
        window: u64,
    ) -> Result<bool, Fault> {
        let mut call = CHECKPOINT.prepare_invoke();
        call.key(&keys.head).key(&keys.events).key(&keys.checkpoint).key(&keys.visitors);
        call.key(keys.keys(window.saturating_sub(1))).key(keys.keys(window));
        call.arg(before).arg(seq).arg(checkpoint);
        call.arg(&known.visitors).arg(&known.keys_before).arg(&known.keys).arg(super::keys::WINDOWS_LIVE_MS);
        self.link.invoke(&call).await
    }

    /// The log has everything up to `through`; 0 only asks. `None` when the room is absent.
    pub async fn relayed(&self, keys: &RoomKeys, through: u64) -> Result<Option<Progress>, Fault> {
        let mut call = RELAYED.prepare_invoke();
        call.key(&keys.head).key(&keys.events).key(&keys.checkpoint).arg(through);
        let found: Option<(u64, u64, u64, u64, u64, u64)> = self.link.invoke(&call).await?;
        Ok(found.map(|(seq, relayed, checkpoint, checkpoint_bytes, bytes_behind, kept)| Progress {
            seq,
            relayed,
            checkpoint,
            checkpoint_bytes,
            bytes_behind,
            kept,
        }))
    }

    /// Events behind `seq`, at most `limit`.
    pub async fn entries(&self, keys: &RoomKeys, seq: u64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let range = behind(&keys.events, seq).arg("COUNT").arg(limit).take();
        read_entries(self.link.run(&range).await?)
    }

    pub async fn lease(&self, what: &str, holder: &str, millis: u64) -> Result<bool, Fault> {
        let mut call = LEASE.prepare_invoke();
        call.key(self.space.lease(what)).arg(holder).arg(millis);
        self.link.invoke(&call).await
    }

    pub async fn release(&self, what: &str, holder: &str) -> Result<bool, Fault> {
        let mut call = RELEASE.prepare_invoke();
        call.key(self.space.lease(what)).arg(holder);
        self.link.invoke(&call).await
    }

    pub async fn report(&self, keys: &RoomKeys, node: &str, bitmap: &[u8], millis: u64) -> Result<(), Fault> {
        let mut call = REPORT.prepare_invoke();
        call.key(&keys.nodes).key(keys.present(node)).arg(node).arg(bitmap).arg(millis);
        self.link.invoke(&call).await
    }
}

/// Asks for the events behind `seq`.
fn behind(events: &str, seq: u64) -> Cmd {
    cmd("XRANGE").arg(events).arg(format!("({seq}-0")).arg("+").take()
}

/// An event as it is written down.
pub(super) fn written(event: &RoomEvent) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(event).map_err(Fault::broken)
}

fn read_entries(raw: Vec<RawEntry>) -> Result<Vec<Entry>, Fault> {
    let read = |(_, (_, json, _, writer)): RawEntry| {
        let event = serde_json::from_slice(&json).map_err(Fault::broken)?;
        Ok(Entry { event, writer, bytes: json.len() })
    };
    raw.into_iter().map(read).collect()
}

fn number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| Fault::broken(format!("Redis holds {text:?} where a number belongs")))
}
