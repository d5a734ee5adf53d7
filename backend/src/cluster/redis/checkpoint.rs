//! Writing a room down, so that it is loaded quickly and the events behind it can go.

use kernel::ports::StoreError;
use kernel::words::RoomId;
use tokio::task::spawn_blocking;

use super::pack::Known;
use super::rooms::Rooms;
use super::scripts::Progress;

/// A room is written down when there are more events, or bytes of them, than this behind its checkpoint: what
/// a process reads and folds to load the room. Where the checkpoint is large, when they are a half of it, an event
/// counted as [`BYTES_A_FOLD`] at least: a large room is written seldom, and who was away for a while need not load
/// it whole.
const EVENTS_BEHIND: u64 = 2_000;
const BYTES_BEHIND: u64 = 1 << 20;
const BYTES_A_FOLD: u64 = BYTES_BEHIND / EVENTS_BEHIND;
/// Events read at once to see who has become known by them.
const PAGE: usize = 200;

pub(super) fn due(progress: &Progress) -> bool {
    let events = (progress.seq - progress.checkpoint).min(progress.kept);
    let behind = progress.bytes_behind.max(events * BYTES_A_FOLD);
    behind > (BYTES_A_FOLD * EVENTS_BEHIND).max(progress.checkpoint_bytes / 2)
}

impl Rooms {
    /// Writes the room down as it is now. Nothing happens when somebody else just did.
    pub(super) async fn checkpoint(&self, room: &RoomId) -> Result<(), StoreError> {
        let scripts = &self.parts.aside;
        let keys = scripts.space.room(room);
        let Some(progress) = scripts.relayed(&keys, 0).await? else { return Ok(()) };
        let before = progress.checkpoint;
        let checkpoint = self.act(room, |room| room.checkpoint()).await?;
        let seq = checkpoint.state.seq;
        if seq <= before {
            return Ok(());
        }
        let window = self.parts.window();
        let (mut known, mut read) = (Known::default(), before);
        while read < seq {
            let page = scripts.entries(&keys, read, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            read = last.event.seq;
            let events = page.iter().map(|entry| &entry.event).filter(|event| event.seq <= seq);
            known.extend(Known::of(events, window));
        }
        let written = spawn_blocking(move || rmp_serde::to_vec_named(&checkpoint)).await;
        let written = written.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let written = written.map_err(|error| StoreError::Broken(error.to_string()))?;
        if self.parts.bulk.checkpoint(&keys, before, seq, &written, &known, window).await? {
            tracing::debug!(%room, seq, bytes = written.len(), "a room was written down");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_with(events: u64, bytes_behind: u64, checkpoint_bytes: u64) -> bool {
        due(&Progress {
            seq: 10_000 + events,
            relayed: 0,
            checkpoint: 10_000,
            checkpoint_bytes,
            bytes_behind,
            kept: 50_000,
        })
    }

    #[test]
    fn a_room_is_written_down_when_as_much_lies_behind_as_is_worth_it() {
        assert!(!due_with(1_900, 900_000, 0));
        assert!(due_with(2_100, 1_000, 0), "many small events");
        assert!(due_with(10, BYTES_BEHIND + 1, 0), "a few large ones");
        // 20 MB are not written anew for each megabyte.
        assert!(!due_with(2_100, BYTES_BEHIND * 9, 20 << 20));
        assert!(due_with(2_100, BYTES_BEHIND * 11, 20 << 20));
        assert!(due_with(22_000, 1_000, 20 << 20));
    }
}
