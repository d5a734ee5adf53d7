//! Frames a client sends: short, whole, masked.

use crate::handshake::mixed;

/// Longest payload sent; a client of the channel says a few words at most.
pub(crate) const PAYLOAD_MAX_BYTES: usize = 4 * 1024;

/// Kinds of frames that are sent, by their opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text = 1,
    Close = 8,
    Pong = 10,
}

/// Turns payloads into frames, each under a mask of its own.
#[derive(Debug)]
pub(crate) struct Masker {
    state: u64,
}

impl Masker {
    /// The masks guard intermediaries against chosen bytes, which a crowd does not choose: a seeded
    /// generator is enough.
    pub fn new(seed: u64) -> Masker {
        Masker { state: seed }
    }

    /// The frame of `payload`, which is at most [`PAYLOAD_MAX_BYTES`] long.
    pub fn frame(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(payload.len() + 8);
        frame.push(0x80 | kind as u8);
        match u8::try_from(payload.len()) {
            Ok(short @ 0..126) => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        self.state = mixed(self.state);
        let mask = (self.state as u32).to_be_bytes();
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;

    use super::*;

    #[test]
    fn frames_are_read_back_by_another_reader() {
        let mut masker = Masker::new(4);
        for length in [0, 1, 125, 126, PAYLOAD_MAX_BYTES] {
            let payload = vec![b'x'; length];
            let frame = masker.frame(Kind::Text, &payload);
            let mut cursor = Cursor::new(&frame[..]);
            let (header, told) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert!(header.is_final && told == length as u64, "{header:?} {told}");
            let mask = header.mask.unwrap();
            let rest = &frame[cursor.position() as usize..];
            let unmasked: Vec<u8> = rest.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(unmasked, payload);
        }
    }
}
