//! Reads server-sent events out of chunks that end anywhere.

/// A stream that never ends a line must not fill the memory.
const LINE_MOST: usize = 64 * 1024;

/// Bytes that came, up to the end of the last whole event handed out.
#[derive(Debug, Default)]
pub struct EventLines {
    buffer: Vec<u8>,
    data: Vec<u8>,
}

impl EventLines {
    pub fn push(&mut self, chunk: &[u8]) {
        if self.buffer.len() + chunk.len() > LINE_MOST {
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The data of the next whole event; comments and other fields are passed over.
    pub fn next_event(&mut self) -> Option<Vec<u8>> {
        while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    return Some(std::mem::take(&mut self.data));
                }
            } else if let Some(value) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_chunks_fall() {
        let text = b": hello\r\n\r\nevent: position\ndata: {\"a\":1}\n\nid: 7\ndata:{\ndata: }\n\ndata: rest";
        for size in 1..text.len() {
            let (mut lines, mut events) = (EventLines::default(), Vec::new());
            for chunk in text.chunks(size) {
                lines.push(chunk);
                while let Some(event) = lines.next_event() {
                    events.push(String::from_utf8(event).unwrap());
                }
            }
            assert_eq!(events, ["{\"a\":1}", "{\n}"], "chunks of {size}");
        }
    }
}
