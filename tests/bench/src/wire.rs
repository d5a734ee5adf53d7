//! What went over all connections to one server on this machine, as Linux counts it (`ss`, of iproute2): data
//! segments and bytes. A short request or answer is one segment, whatever protocol it speaks.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail};

/// By the client's own address.
pub type Connections = BTreeMap<String, Traffic>;

/// Seen from the clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub segments_out: u64,
    pub segments_in: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

/// All connections to this port, so far.
pub fn to(port: u16) -> anyhow::Result<Connections> {
    let asked = ["--tcp", "--info", "--numeric", "--no-header", "state", "established", "dport", "="];
    let output = Command::new("ss").args(asked).arg(format!(":{port}")).output();
    let output = output.context("ss is missing: apt-get install iproute2")?;
    if !output.status.success() {
        bail!("ss: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(read(&String::from_utf8_lossy(&output.stdout)))
}

/// What was added in between; connections that ended meanwhile take theirs with them.
pub fn between(before: &Connections, after: &Connections) -> Traffic {
    let mut sum = Traffic::default();
    for (client, now) in after {
        let was = before.get(client).copied().unwrap_or_default();
        sum.segments_out += now.segments_out.saturating_sub(was.segments_out);
        sum.segments_in += now.segments_in.saturating_sub(was.segments_in);
        sum.bytes_out += now.bytes_out.saturating_sub(was.bytes_out);
        sum.bytes_in += now.bytes_in.saturating_sub(was.bytes_in);
    }
    sum
}

/// Two lines a connection: its addresses, and indented its figures.
fn read(said: &str) -> Connections {
    let mut connections = Connections::new();
    let mut client = String::new();
    for line in said.lines() {
        if !line.starts_with(char::is_whitespace) {
            // Bytes that wait in either direction, then the two addresses.
            client = line.split_whitespace().nth(2).unwrap_or_default().to_owned();
            continue;
        }
        let figure = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.and_then(|count| count.parse().ok()).unwrap_or(0)
        };
        let traffic = Traffic {
            segments_out: figure("data_segs_out:"),
            segments_in: figure("data_segs_in:"),
            bytes_out: figure("bytes_acked:"),
            bytes_in: figure("bytes_received:"),
        };
        connections.insert(client.clone(), traffic);
    }
    connections
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_goes_over_a_connection_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = to(port).unwrap();
        let mut buffer = [0; 5];
        for _ in 0..3 {
            client.write_all(b"asked").unwrap();
            server.read_exact(&mut buffer).unwrap();
            server.write_all(b"no").unwrap();
            client.read_exact(&mut buffer[..2]).unwrap();
        }
        let traffic = between(&before, &to(port).unwrap());
        // The last acknowledgement may still be on its way.
        assert!(traffic.bytes_out == 15 || traffic.bytes_out == 10, "{traffic:?}");
        assert_eq!((traffic.segments_out, traffic.segments_in, traffic.bytes_in), (3, 3, 6));
    }
}
