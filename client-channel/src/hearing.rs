//! What a visitor sends, from bytes as they come: tungstenite reads the frames. It is at hand only while
//! something is under way, so that whoever only listens costs no buffer.

use std::io::{self, Cursor, Read, Write};

use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::message::{CLIENT_BYTES_MAX, ClientMessage};

/// What a visitor sends is a few bytes.
const READ_BUFFER_BYTES: usize = 512;

/// One thing heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Message(ClientMessage),
    /// A text that is none of the visitor's messages, or no text.
    Unknown,
    TooLarge,
    NotUtf8,
    /// With our ping's payload, or with anything else.
    Pong(Option<u32>),
    /// A ping, or a part of a message: a sign of life.
    Alive,
    /// Frames that break the protocol.
    Broken,
    /// The visitor closes; the answer is in what has to be sent.
    Closed,
}

/// One visitor's half-heard frames.
#[derive(Default)]
pub struct Hearing {
    under_way: Option<Box<UnderWay>>,
}

struct UnderWay {
    context: WebSocketContext,
    bounds: Bounds,
}

impl Hearing {
    /// Takes bytes as they came; what they say, in order, and what the protocol answers by itself.
    /// After [`Heard::Closed`] or anything that is refused nothing more is heard.
    pub fn take(&mut self, bytes: &[u8], mut hear: impl FnMut(Heard)) -> Vec<u8> {
        let under_way = self.under_way.get_or_insert_with(UnderWay::begin);
        under_way.bounds.pass(bytes);
        let mut feed = Feed { bytes, answer: Vec::new() };
        while let Some(heard) = heard(under_way.context.read(&mut feed)) {
            let goes_on = matches!(heard, Heard::Message(_) | Heard::Pong(_) | Heard::Alive);
            hear(heard);
            if !goes_on {
                // The answer to a close is written when something follows it.
                let _ = under_way.context.flush(&mut feed);
                break;
            }
        }
        if under_way.bounds.is_between() {
            self.under_way = None;
        }
        feed.answer
    }
}

impl UnderWay {
    fn begin() -> Box<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(CLIENT_BYTES_MAX))
            .max_frame_size(Some(CLIENT_BYTES_MAX));
        Box::new(Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            bounds: Bounds::default(),
        })
    }
}

/// `None`: nothing more until more bytes come.
fn heard(read: Result<Message, Error>) -> Option<Heard> {
    Some(match read {
        Ok(Message::Text(text)) if text.len() > CLIENT_BYTES_MAX => Heard::TooLarge,
        Ok(Message::Text(text)) => ClientMessage::parse(&text).map_or(Heard::Unknown, Heard::Message),
        Ok(Message::Binary(_)) => Heard::Unknown,
        Ok(Message::Pong(payload)) => {
            Heard::Pong(<[u8; 4]>::try_from(payload.as_ref()).ok().map(u32::from_be_bytes))
        }
        Ok(Message::Ping(_) | Message::Frame(_)) => Heard::Alive,
        Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Heard::Closed,
        Err(Error::Capacity(_)) => Heard::TooLarge,
        Err(Error::Utf8(_)) => Heard::NotUtf8,
        Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Heard::Closed,
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
        Err(_) => Heard::Broken,
    })
}

/// The bytes that came, as a stream that has no more for now; what is written is kept to be sent.
struct Feed<'a> {
    bytes: &'a [u8],
    answer: Vec<u8>,
}

impl Read for Feed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.read(into)
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where frames and messages begin and end in what has come so far.
#[derive(Default)]
struct Bounds {
    /// The beginning of a frame's head.
    head: Vec<u8>,
    /// Of the frame under way.
    left: u64,
    /// A message of several frames is under way.
    in_parts: bool,
    lost: bool,
}

impl Bounds {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= skipped as u64;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { return };
            self.head.push(*first);
            bytes = rest;
            match FrameHeader::parse(&mut Cursor::new(&self.head)) {
                Ok(None) => {}
                Ok(Some((header, length))) => {
                    self.head.clear();
                    self.left = length;
                    match header.opcode {
                        OpCode::Data(Data::Text | Data::Binary | Data::Continue | Data::Reserved(_)) => {
                            self.in_parts = !header.is_final;
                        }
                        OpCode::Control(_) => {}
                    }
                }
                // The reading itself says what is wrong.
                Err(_) => self.lost = true,
            }
        }
    }

    /// Nothing is under way.
    fn is_between(&self) -> bool {
        !self.lost && self.head.is_empty() && self.left == 0 && !self.in_parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Heard in pieces of this many bytes; whether nothing is kept at the end.
    fn all(bytes: &[u8], piece: usize) -> (Vec<Heard>, Vec<u8>, bool) {
        let (mut hearing, mut heard, mut answer) = (Hearing::default(), Vec::new(), Vec::new());
        for part in bytes.chunks(piece) {
            answer.extend(hearing.take(part, |one| heard.push(one)));
        }
        (heard, answer, hearing.under_way.is_none())
    }

    #[test]
    fn the_same_is_heard_in_whatever_pieces_it_comes_and_nothing_is_kept_behind_it() {
        let leave = br#"{"type":"leave"}"#;
        let bytes = [
            frame(0x8a, &7u32.to_be_bytes()),
            frame(0x8a, b""),
            frame(0x01, &leave[..5]),
            frame(0x89, b"ping"),
            frame(0x80, &leave[5..]),
            frame(0x81, br#"{"type":"renew"}"#),
        ]
        .concat();
        let expected = [
            Heard::Pong(Some(7)),
            Heard::Pong(None),
            Heard::Alive,
            Heard::Message(ClientMessage::Leave),
            Heard::Message(ClientMessage::Renew),
        ];
        for piece in [1, 2, 3, 7, 1000] {
            let (heard, answer, is_clean) = all(&bytes, piece);
            assert_eq!(heard, expected, "in pieces of {piece}");
            assert_eq!(answer, b"\x8a\x04ping", "in pieces of {piece}");
            assert!(is_clean, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_half_heard_is_kept() {
        let bytes = frame(0x81, br#"{"type":"leave"}"#);
        for end in 1..bytes.len() {
            let (heard, _, is_clean) = all(&bytes[..end], 1000);
            assert_eq!((heard, is_clean), (vec![], false), "{end} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_nothing_after_it() {
        let after = frame(0x81, br#"{"type":"leave"}"#);
        for (wrong, expected) in [
            (frame(0x81, b"hello"), Heard::Unknown),
            (frame(0x82, b"hello"), Heard::Unknown),
            (frame(0x81, &[0xff]), Heard::NotUtf8),
            (frame(0x81, &[b'x'; 5000]), Heard::TooLarge),
            ([frame(0x01, &[b'x'; 4000]), frame(0x80, &[b'x'; 4000])].concat(), Heard::TooLarge),
            (frame(0x83, b""), Heard::Broken),
            (frame(0xc1, b"hello"), Heard::Broken),
            (frame(0x80, b"nothing to go on from"), Heard::Broken),
            (b"\x81\x01x".to_vec(), Heard::Broken),
            (frame(0x88, &1000u16.to_be_bytes()), Heard::Closed),
        ] {
            let (heard, answer, _) = all(&[wrong, after.clone()].concat(), 100_000);
            assert_eq!(!answer.is_empty(), expected == Heard::Closed);
            assert_eq!(heard, [expected]);
        }
    }
}
