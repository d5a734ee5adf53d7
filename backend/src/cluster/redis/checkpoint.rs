//! Writing a room down, so that it is loaded quickly and the events behind it can go.

use kernel::ports::StoreError;
use kernel::words::RoomId;
use tokio::task::spawn_blocking;

use super::pack::Known;
use super::rooms::Rooms;
use super::scripts::Progress;

/// A room is written down when there are more events, or bytes of them, than this behind its checkpoint: what
/// a process reads and folds to load the room.
const EVENTS_BEHIND: u64 = 2_000;
const BYTES_BEHIND: u64 = 1 << 20;
/// Events read at once to see who has become known by them.
const PAGE: usize = 200;

pub(super) fn due(progress: &Progress) -> bool {
    let events = (progress.seq - progress.checkpoint).min(progress.kept);
    events > EVENTS_BEHIND || progress.bytes_behind > BYTES_BEHIND
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
        if scripts.checkpoint(&keys, before, seq, &written, &known, window).await? {
            tracing::debug!(%room, seq, bytes = written.len(), "a room was written down");
        }
        Ok(())
    }
}
