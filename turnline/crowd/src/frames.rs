//! Takes whole frames off the front of what a socket has received.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// A larger message is no channel's; the socket is given up.
const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// One thing taken off the front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<'a> {
    /// A whole message in one frame, or the last piece of one in several.
    Text {
        last_piece: &'a [u8],
    },
    /// A piece of a message, more to follow.
    Piece(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    Close(Option<u16>),
}

/// What stands at the front of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front<'a> {
    /// A frame, `length` bytes long with its header.
    Whole { taken: Taken<'a>, length: usize },
    /// Its end has not come yet.
    Partial,
    /// Against the protocol, or too large.
    Broken,
}

pub(crate) fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let (header, payload_length) = match FrameHeader::parse(&mut cursor) {
        Ok(Some((header, length))) => (header, length),
        Ok(None) => return Front::Partial,
        Err(_) => return Front::Broken,
    };
    let header_length = usize::try_from(cursor.position()).unwrap_or_default();
    // A server never masks (RFC 6455, 5.1), and no extension was asked for.
    if header.mask.is_some() || header.rsv1 || header.rsv2 || header.rsv3 {
        return Front::Broken;
    }
    let Some(payload_length) =
        usize::try_from(payload_length).ok().filter(|length| *length <= MESSAGE_MAX_BYTES)
    else {
        return Front::Broken;
    };
    let length = header_length + payload_length;
    let Some(payload) = bytes.get(header_length..length) else { return Front::Partial };
    match taken(&header, payload) {
        Some(taken) => Front::Whole { taken, length },
        None => Front::Broken,
    }
}

fn taken<'a>(header: &FrameHeader, payload: &'a [u8]) -> Option<Taken<'a>> {
    match header.opcode {
        OpCode::Data(Data::Text | Data::Continue) if header.is_final => {
            Some(Taken::Text { last_piece: payload })
        }
        OpCode::Data(Data::Text | Data::Continue) => Some(Taken::Piece(payload)),
        OpCode::Control(_) if !header.is_final || payload.len() > 125 => None,
        OpCode::Control(Control::Ping) => Some(Taken::Ping(payload)),
        OpCode::Control(Control::Pong) => Some(Taken::Pong),
        OpCode::Control(Control::Close) => {
            Some(Taken::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))))
        }
        OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Binary | Data::Reserved(_)) => None,
    }
}

/// Whether another piece still fits into a message of `so_far` bytes.
pub(crate) fn fits(so_far: usize, piece: &[u8]) -> bool {
    so_far + piece.len() <= MESSAGE_MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let mut bytes = vec![0x81, 126, 1, 4];
        bytes.extend_from_slice(&[b'x'; 260]);
        for cut in 0..bytes.len() {
            assert_eq!(front(&bytes[..cut]), Front::Partial, "after {cut} bytes");
        }
        let whole = Front::Whole { taken: Taken::Text { last_piece: &[b'x'; 260] }, length: 264 };
        assert_eq!(front(&bytes), whole);
        bytes.push(0x81);
        assert_eq!(
            front(&bytes),
            Front::Whole { taken: Taken::Text { last_piece: &[b'x'; 260] }, length: 264 }
        );
    }

    #[test]
    fn control_frames_and_pieces_are_told_apart() {
        let taken = |bytes: &'static [u8]| match front(bytes) {
            Front::Whole { taken, .. } => Some(taken),
            Front::Partial | Front::Broken => None,
        };
        assert_eq!(taken(&[0x88, 2, 3, 0xE8]), Some(Taken::Close(Some(1000))));
        assert_eq!(taken(&[0x88, 0]), Some(Taken::Close(None)));
        assert_eq!(taken(&[0x89, 1, 7]), Some(Taken::Ping(&[7])));
        assert_eq!(taken(&[0x8A, 0]), Some(Taken::Pong));
        assert_eq!(taken(&[0x01, 1, 7]), Some(Taken::Piece(&[7])));
        assert_eq!(taken(&[0x80, 1, 7]), Some(Taken::Text { last_piece: &[7] }));
    }

    #[test]
    fn what_a_server_may_not_send_is_broken() {
        for wrong in [
            &[0x81, 0x81, 0, 0, 0, 0, 7][..], // masked
            &[0xC1, 0],                       // an extension's bit
            &[0x82, 1, 7],                    // binary
            &[0x09, 0],                       // a ping in pieces
            &[0x83, 0],                       // reserved
            &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 1],
        ] {
            assert_eq!(front(wrong), Front::Broken, "{wrong:?}");
        }
    }
}
