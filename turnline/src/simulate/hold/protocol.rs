//! What the process that leads a run and its workers tell each other: JSON, a line each, over stdin and stdout.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::checks::Findings;
use super::clock::Micros;
use super::measured::Packed;

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    Begin(Share),
    /// Cut all sockets; each comes back within so long.
    Storm {
        spread: Micros,
    },
    /// Ask so many tickets where they stand until both ways agree, for at most so long.
    Ask {
        count: usize,
        bound: Micros,
    },
    /// Say everything and end.
    Finish {
        bound: Micros,
    },
}

/// One worker's part of the crowd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub visitors: u32,
    pub seed: u64,
    /// As `--arrivals` takes it.
    pub arrivals: String,
    pub joins_at_once: usize,
    /// Where channels are opened, or places asked for.
    pub channels: Vec<Channels>,
    /// Visitors ask for their place instead of holding a channel.
    pub polling: bool,
    /// How often; absent: as the answers say.
    pub poll_every: Option<Micros>,
    /// Local addresses to connect from; empty where the system chooses.
    pub sources: Vec<IpAddr>,
}

/// An address and what is asked for there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    pub address: SocketAddr,
    pub host: String,
    pub path: String,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub enum Told {
    Pulse(Pulse),
    Asked(Asked),
    Done(Box<Done>),
    Failed { why: String },
}

/// How it stands, a few times a second; counts are since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    pub at: Micros,
    pub joined: u64,
    pub open: u64,
    pub told: u64,
    pub inside: u64,
    pub ended: u64,
    pub lost: u64,
    /// Cut off by the storm and not back yet.
    pub stormed: u64,
    /// Storms it has begun.
    pub storms: u64,
    pub refused: u64,
    pub messages: u64,
    pub bytes: u64,
    pub requests: u64,
    pub bytes_out: u64,
    pub processor: Micros,
    /// Bytes kept for the visitors, and all memory of its own.
    pub kept: u64,
    pub memory: u64,
}

/// What asking a sample brought, beside its findings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub asked: u64,
    /// How long it took until both ways agreed for all.
    pub took: Micros,
    /// Smallest and largest `number - position` that was answered in the first round.
    pub progress: Option<(u64, u64)>,
}

/// All that a worker saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub findings: Findings,
    pub latencies: Packed,
    pub refused: BTreeMap<String, u64>,
    pub closed: BTreeMap<String, u64>,
    /// Why visitors could not join, and how many.
    pub failures: BTreeMap<String, u64>,
    pub numbers: Vec<u64>,
    /// The newest progress of the line, and when each was first heard here.
    pub line: Vec<(u64, Micros)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_survive_the_pipe() {
        let orders = [
            Order::Begin(Share {
                visitors: 3,
                seed: 1,
                arrivals: "flash".into(),
                joins_at_once: 4,
                channels: vec![Channels {
                    address: "127.0.0.1:80".parse().unwrap(),
                    host: "h".into(),
                    path: "/p".into(),
                }],
                polling: true,
                poll_every: Some(1),
                sources: vec!["127.0.0.2".parse().unwrap()],
            }),
            Order::Storm { spread: 5 },
            Order::Ask { count: 2, bound: 9 },
            Order::Finish { bound: 9 },
        ];
        for order in orders {
            let text = serde_json::to_string(&order).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
        }
        let told = [
            Told::Pulse(Pulse { joined: 4, ..Pulse::default() }),
            Told::Asked(Asked { progress: Some((1, 2)), ..Asked::default() }),
            Told::Done(Box::new(Done { numbers: vec![1, 2], line: vec![(3, 4)], ..Done::default() })),
            Told::Failed { why: "x".into() },
        ];
        for told in told {
            let text = serde_json::to_string(&told).unwrap();
            assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), told);
        }
    }
}
