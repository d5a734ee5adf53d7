//! The request that opens a channel, and the key that the answer must belong to.

use tungstenite::handshake::derive_accept_key;

/// How to ask for the upgrade; one may serve many sockets, or each have its own.
#[derive(Clone, Debug)]
pub struct Handshake {
    head: String,
}

impl Handshake {
    /// `GET path` at `host`, offering `protocols` in this order; no protocol header when there are none.
    pub fn new(host: &str, path: &str, protocols: &[&str]) -> Handshake {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n"
        );
        if !protocols.is_empty() {
            head.push_str("Sec-WebSocket-Protocol: ");
            head.push_str(&protocols.join(", "));
            head.push_str("\r\n");
        }
        Handshake { head }
    }

    /// One more header; neither part may hold a line break.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Handshake {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    pub(crate) fn bytes(&self, key: Key) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head.len() + 48);
        bytes.extend_from_slice(self.head.as_bytes());
        bytes.extend_from_slice(b"Sec-WebSocket-Key: ");
        bytes.extend_from_slice(&key.text());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes
    }
}

/// The nonce of one handshake, made again from three numbers when the answer comes, so that none is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub seed: u64,
    pub who: u32,
    pub generation: u32,
}

impl Key {
    /// Base64 of 16 bytes, as RFC 6455, 4.1 asks.
    pub fn text(self) -> [u8; 24] {
        let high = mixed(self.seed ^ (u64::from(self.who) << 32 | u64::from(self.generation)));
        let bits = u128::from(high) << 64 | u128::from(mixed(high));
        let mut text = [b'='; 24];
        for (at, letter) in text.iter_mut().take(22).enumerate() {
            // 22 letters of 6 bits carry 132: the last one has two bits of its own and four of padding.
            let sextet = if at < 21 { bits >> (122 - 6 * at) & 63 } else { (bits & 3) << 4 };
            *letter = base64_letter(sextet as u8);
        }
        text
    }

    pub fn accepted_by(self, answer: &[u8]) -> bool {
        derive_accept_key(&self.text()).as_bytes() == answer
    }
}

fn base64_letter(sextet: u8) -> u8 {
    match sextet {
        0..26 => b'A' + sextet,
        26..52 => b'a' + sextet - 26,
        52..62 => b'0' + sextet - 52,
        62 => b'+',
        _ => b'/',
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) fn mixed(from: u64) -> u64 {
    let mut z = from.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_base64_of_16_bytes_and_differs_with_every_part() {
        let key = Key { seed: 1, who: 2, generation: 3 };
        let text = key.text();
        assert!(text.ends_with(b"==") && !text[..22].contains(&b'='), "{text:?}");
        assert!(b"AQgw".contains(&text[21]), "the last letter carries two bits: {text:?}");
        for other in [Key { seed: 9, ..key }, Key { who: 9, ..key }, Key { generation: 9, ..key }] {
            assert_ne!(other.text(), text);
        }
        assert_eq!(key.text(), text);
        assert!(key.accepted_by(derive_accept_key(&text).as_bytes()));
        assert!(!key.accepted_by(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn the_request_has_every_line_that_an_upgrade_needs() {
        let request = Handshake::new("h:1", "/x", &["a", "b"]).with_header("X-Y", "z");
        let key = Key { seed: 1, who: 2, generation: 3 };
        let text = String::from_utf8(request.bytes(key)).unwrap();
        assert!(text.starts_with("GET /x HTTP/1.1\r\nHost: h:1\r\n"), "{text}");
        for line in ["\r\nSec-WebSocket-Protocol: a, b\r\n", "\r\nX-Y: z\r\n", "\r\nUpgrade: websocket\r\n"] {
            assert!(text.contains(line), "{line:?} not in {text}");
        }
        assert!(text.ends_with("==\r\n\r\n"));
        let bare = String::from_utf8(Handshake::new("h", "/", &[]).bytes(key)).unwrap();
        assert!(!bare.contains("Protocol"), "{bare}");
    }
}
