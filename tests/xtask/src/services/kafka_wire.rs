//! One request of Kafka's protocol, enough to know that a broker is at work: Metadata, version 4, whose layout is
//! in "Kafka protocol guide", <https://kafka.apache.org/protocol.html#The_Messages_Metadata>.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const METADATA: i16 = 3;
const METADATA_VERSION: i16 = 4;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Far above any answer here; a length beyond means that something else is talking.
const ANSWER_MAX_BYTES: usize = 64 << 20;
const CLIENT: &str = "xtask";
const NO_LEADER: i32 = -1;

/// Asks for all topics; an error unless a broker is registered and each partition has a leader.
pub fn every_partition_is_led(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    ensure!(length <= ANSWER_MAX_BYTES, "an answer of {length} bytes is not one of Kafka's");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    check(&mut Answer { rest: &answer })
}

fn request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(METADATA_VERSION.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(i16::try_from(CLIENT.len()).unwrap_or(0).to_be_bytes());
    body.extend(CLIENT.as_bytes());
    // No list of topics means all of them; the last byte: and make none.
    body.extend((-1_i32).to_be_bytes());
    body.push(0);
    let length = i32::try_from(body.len()).unwrap_or(0);
    [length.to_be_bytes().to_vec(), body].concat()
}

fn check(answer: &mut Answer) -> Result<()> {
    let (_correlation, _throttle) = (answer.int()?, answer.int()?);
    let brokers = answer.int()?;
    for _ in 0..brokers {
        let (_node, _host, _port, _rack) = (answer.int()?, answer.text()?, answer.int()?, answer.text()?);
    }
    ensure!(brokers > 0, "no broker is registered yet");
    let (_cluster, _controller) = (answer.text()?, answer.int()?);
    for _ in 0..answer.int()? {
        let (_error, name, _internal) = (answer.short()?, answer.text()?, answer.bytes(1)?);
        for _ in 0..answer.int()? {
            let (_error, partition, leader) = (answer.short()?, answer.int()?, answer.int()?);
            for _replicas_then_in_sync in 0..2 {
                let count = usize::try_from(answer.int()?)?;
                answer.bytes(count * 4)?;
            }
            ensure!(leader != NO_LEADER, "partition {partition} of {name} has no leader yet");
        }
    }
    Ok(())
}

/// Reads the answer from the front.
struct Answer<'a> {
    rest: &'a [u8],
}

impl<'a> Answer<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(count).context("the answer ends too early")?;
        self.rest = rest;
        Ok(front)
    }

    fn int(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.bytes(4)?.try_into()?))
    }

    fn short(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.bytes(2)?.try_into()?))
    }

    /// A missing one (length −1) reads as empty.
    fn text(&mut self) -> Result<&'a str> {
        match self.short()? {
            -1 => Ok(""),
            length if length >= 0 => Ok(std::str::from_utf8(self.bytes(usize::try_from(length)?)?)?),
            length => bail!("a text of {length} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [i16::try_from(text.len()).unwrap().to_be_bytes().to_vec(), text.as_bytes().to_vec()].concat()
    }

    fn ints(numbers: &[i32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// An answer with this many brokers and one topic whose only partition has this leader.
    fn answer(brokers: i32, leader: i32) -> Vec<u8> {
        let mut bytes = ints(&[1, 0, brokers]);
        for node in 0..brokers {
            bytes.extend(
                [ints(&[node]), text("127.0.0.1"), ints(&[9092]), (-1_i16).to_be_bytes().to_vec()].concat(),
            );
        }
        bytes.extend([text("cluster"), ints(&[1, 1]), vec![0, 0], text("rooms"), vec![0]].concat());
        bytes.extend([ints(&[1]), vec![0, 0], ints(&[0, leader, 1, 1, 1, 1])].concat());
        bytes
    }

    fn checked(bytes: &[u8]) -> String {
        check(&mut Answer { rest: bytes }).map_or_else(|why| why.to_string(), |()| "ready".to_owned())
    }

    #[test]
    fn only_a_registered_broker_with_leaders_is_ready() {
        assert_eq!(checked(&answer(1, 1)), "ready");
        assert_eq!(checked(&answer(0, 1)), "no broker is registered yet");
        assert_eq!(checked(&answer(1, NO_LEADER)), "partition 0 of rooms has no leader yet");
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let whole = answer(1, 1);
        for length in 0..whole.len() {
            assert_eq!(checked(&whole[..length]), "the answer ends too early", "cut at {length}");
        }
    }
}
