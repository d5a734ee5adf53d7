//! Reads the server's answer to the upgrade, as far as it came.

use crate::handshake::Key;

/// More than this for a head is no answer of a channel.
const HEAD_MAX_BYTES: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// What the bytes so far say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The head is not whole yet.
    Partial,
    /// The channel is open; frames begin after `head` bytes.
    Opened { head: usize },
    /// Any other status, or a 101 that does not belong to our key.
    Refused { status: u16, retry_after_seconds: Option<u64> },
    /// No HTTP.
    Nonsense,
}

pub(crate) fn read(bytes: &[u8], key: Key) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX_BYTES => return Answer::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Answer::Nonsense,
    };
    let status = response.code.unwrap_or_default();
    let value = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value)
    };
    if status == 101 && value("sec-websocket-accept").is_some_and(|accept| key.accepted_by(accept)) {
        return Answer::Opened { head };
    }
    let retry_after_seconds =
        value("retry-after").and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    Answer::Refused { status, retry_after_seconds }
}

#[cfg(test)]
mod tests {
    use tungstenite::handshake::derive_accept_key;

    use super::*;

    const KEY: Key = Key { seed: 1, who: 2, generation: 3 };

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        let accept = derive_accept_key(&KEY.text());
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\n\r\n");
        for cut in 0..head.len() {
            assert_eq!(read(&head.as_bytes()[..cut], KEY), Answer::Partial, "after {cut} bytes");
        }
        let with_frame = format!("{head}xyz");
        assert_eq!(read(with_frame.as_bytes(), KEY), Answer::Opened { head: head.len() });
    }

    #[test]
    fn refusals_come_with_their_retry_hint() {
        let refused = |status, retry_after_seconds| Answer::Refused { status, retry_after_seconds };
        let full = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read(full, KEY), refused(503, Some(7)));
        assert_eq!(read(b"HTTP/1.1 401 Unauthorized\r\n\r\n", KEY), refused(401, None));
        let foreign = b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(read(foreign, KEY), refused(101, None));
    }

    #[test]
    fn what_is_no_http_or_never_ends_is_nonsense() {
        assert_eq!(read(b"SSH-2.0-OpenSSH\r\n", KEY), Answer::Nonsense);
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_MAX_BYTES));
        assert_eq!(read(endless.as_bytes(), KEY), Answer::Nonsense);
    }
}
