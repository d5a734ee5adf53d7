//! Frames as a server sends them (RFC 6455 5.2): whole and unmasked, made in one place that a shard keeps.

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::message::ServerMessage;

/// The longest head of a frame from a server.
const HEAD_MAX: usize = 10;

/// Where a shard makes its frames, one after the other.
#[derive(Debug, Default)]
pub struct FrameMaker {
    bytes: Vec<u8>,
}

impl FrameMaker {
    pub fn message(&mut self, message: &ServerMessage<'_>) -> &[u8] {
        self.frame(OpCode::Data(Data::Text), |bytes| {
            // Nothing in it can fail to be written: no maps, no foreign types.
            let _ = serde_json::to_writer(bytes, message);
        })
    }

    pub fn text(&mut self, text: &str) -> &[u8] {
        self.frame(OpCode::Data(Data::Text), |bytes| bytes.extend_from_slice(text.as_bytes()))
    }

    pub fn ping(&mut self, payload: [u8; 4]) -> &[u8] {
        self.frame(OpCode::Control(Control::Ping), |bytes| bytes.extend_from_slice(&payload))
    }

    pub fn close(&mut self, code: u16) -> &[u8] {
        self.frame(OpCode::Control(Control::Close), |bytes| bytes.extend_from_slice(&code.to_be_bytes()))
    }

    /// The payload is written first, as its length stands before it: the head goes into the gap.
    fn frame(&mut self, opcode: OpCode, payload: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.bytes.clear();
        self.bytes.resize(HEAD_MAX, 0);
        payload(&mut self.bytes);
        let length = (self.bytes.len() - HEAD_MAX) as u64;
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let from = HEAD_MAX - header.len(length);
        // There is room for the longest head.
        let _ = header.format(length, &mut &mut self.bytes[from..HEAD_MAX]);
        &self.bytes[from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_standards_form() {
        let mut frames = FrameMaker::default();
        assert_eq!(frames.text("hi"), b"\x81\x02hi");
        assert_eq!(frames.ping(7u32.to_be_bytes()), b"\x89\x04\x00\x00\x00\x07");
        assert_eq!(frames.close(1012), b"\x88\x02\x03\xf4");
        assert_eq!(frames.message(&ServerMessage::Expiring { seconds: 9 })[..2], [0x81, 0x1f]);
        for length in [0usize, 125, 126, 65_535, 65_536] {
            let text = "x".repeat(length);
            let frame = frames.text(&text);
            let head = match length {
                0..=125 => vec![0x81, length as u8],
                126..=65_535 => [&[0x81, 126][..], &(length as u16).to_be_bytes()].concat(),
                _ => [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat(),
            };
            assert_eq!((&frame[..head.len()], &frame[head.len()..]), (&head[..], text.as_bytes()));
        }
    }
}
