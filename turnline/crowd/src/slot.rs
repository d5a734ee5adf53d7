//! What is kept of one visitor's socket: 24 bytes, and a box only while something is unfinished.

use std::mem;

use mio::net::TcpStream;

/// Where a socket is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The connection is being made; the request waits in `Kept::bytes`.
    #[default]
    Connecting,
    /// The request is sent; a partial answer is in `Kept::bytes`.
    Answering,
    Open,
}

/// What cannot be finished before more bytes come.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub bytes: Vec<u8>,
    /// Pieces of a message that has more to come.
    pub message: Vec<u8>,
    in_message: bool,
}

/// One visitor's place in the crowd.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub socket: Option<TcpStream>,
    /// Counts the sockets of this visitor, so that word of an earlier one is told from word of this one.
    pub generation: u32,
    pub stage: Stage,
    kept: Option<Box<Kept>>,
}

impl Slot {
    /// Keeps `rest` until more comes; the box goes as soon as there is nothing to keep.
    pub fn keep(&mut self, rest: &[u8]) {
        match &mut self.kept {
            Some(kept) if rest.is_empty() && !kept.in_message => self.kept = None,
            Some(kept) => kept.bytes = rest.to_vec(),
            None if rest.is_empty() => {}
            None => self.kept = Some(Box::new(Kept { bytes: rest.to_vec(), ..Kept::default() })),
        }
    }

    /// What was kept, with `more` behind it; nothing when nothing was kept.
    pub fn with_kept(&mut self, more: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.as_mut().filter(|kept| !kept.bytes.is_empty())?;
        let mut bytes = mem::take(&mut kept.bytes);
        bytes.extend_from_slice(more);
        Some(bytes)
    }

    /// The pieces so far of a message that has more to come.
    pub fn message(&mut self) -> Option<&mut Vec<u8>> {
        self.kept.as_mut().filter(|kept| kept.in_message).map(|kept| &mut kept.message)
    }

    pub fn begin_message(&mut self, piece: &[u8]) {
        let kept = self.kept.get_or_insert_default();
        kept.in_message = true;
        kept.message = piece.to_vec();
    }

    pub fn end_message(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.in_message = false;
            kept.message = Vec::new();
        }
    }

    /// What this slot takes, with what is unfinished.
    pub fn kept_bytes(&self) -> usize {
        let kept = |kept: &Kept| size_of::<Kept>() + kept.bytes.capacity() + kept.message.capacity();
        size_of::<Slot>() + self.kept.as_deref().map_or(0, kept)
    }

    /// The socket, with all memory of it gone from here.
    pub fn leave(&mut self) -> Option<TcpStream> {
        (self.kept, self.stage) = (None, Stage::Connecting);
        self.socket.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_stays_small() {
        // Debug builds of mio keep the number of the poll beside the descriptor.
        assert!(size_of::<Slot>() <= if cfg!(debug_assertions) { 40 } else { 24 }, "{}", size_of::<Slot>());
    }

    #[test]
    fn nothing_is_kept_once_everything_was_taken() {
        let mut slot = Slot::default();
        slot.keep(b"");
        assert!(slot.kept.is_none());
        slot.keep(b"ab");
        assert_eq!(slot.with_kept(b"cd").as_deref(), Some(&b"abcd"[..]));
        assert_eq!(slot.kept_bytes(), size_of::<Slot>() + size_of::<Kept>());
        slot.keep(b"");
        assert!(slot.kept.is_none() && slot.with_kept(b"x").is_none());
        assert_eq!(slot.kept_bytes(), size_of::<Slot>());
        slot.begin_message(b"one ");
        slot.keep(b"");
        slot.message().unwrap().extend_from_slice(b"two");
        assert_eq!(slot.message().unwrap(), b"one two");
        slot.end_message();
        slot.keep(b"");
        assert!(slot.kept.is_none());
    }
}
