//! How many processes the crowd needs, who gets which part, and where it connects from.

use std::net::{IpAddr, Ipv4Addr};

use super::clock::Micros;
use super::protocol::{Channels, Share};
use crate::simulate::arrivals::Arrivals;

/// Descriptors of a worker beside the channels: calls, pipes, the epoll.
const BESIDE: u64 = 512;
/// Sockets from one local address. Linux has 28,000 ports to give, looks through the even half of them first,
/// and takes milliseconds a port once that is nearly full: 13,000 from one address opened 100 times slower.
const SOCKETS_A_SOURCE: u32 = 6_000;
/// More than this on one thread would make it late itself.
const SOCKETS_A_PROCESS_MOST: u64 = 100_000;
/// Joins under way at once, over all processes.
const JOINS_AT_ONCE: usize = 128;

/// What the parts are made of.
pub struct Crowd {
    pub visitors: u32,
    pub seed: u64,
    /// Tells runs on one machine apart.
    pub run: u32,
    pub arrivals: Arrivals,
    pub channels: Vec<Channels>,
    pub polling: bool,
    pub poll_every: Option<Micros>,
}

/// How many sockets one process may hold, when it may open `files`; absent: without a limit.
pub fn sockets_a_process(files: Option<u64>) -> u32 {
    let fits = files.unwrap_or(u64::MAX).saturating_sub(BESIDE);
    u32::try_from(fits.clamp(1, SOCKETS_A_PROCESS_MOST)).unwrap_or(u32::MAX)
}

/// The parts of the crowd, one a process, none larger than `most`.
pub fn shares(crowd: &Crowd, most: u32) -> Vec<Share> {
    let count = crowd.visitors.div_ceil(most.max(1)).max(1);
    let (each, more) = (crowd.visitors / count, crowd.visitors % count);
    let local = crowd.channels.iter().all(|channels| is_loopback_v4(channels.address.ip()));
    let sources_each = each.div_ceil(SOCKETS_A_SOURCE).max(1);
    let arrivals = match crowd.arrivals {
        Arrivals::Poisson { per_second } => Arrivals::Poisson { per_second: per_second / f64::from(count) },
        other => other,
    };
    let share = |index: u32| Share {
        visitors: each + u32::from(index < more),
        seed: crowd.seed ^ (u64::from(index) << 48),
        arrivals: arrivals.to_string(),
        joins_at_once: (JOINS_AT_ONCE / count as usize).max(4),
        channels: crowd.channels.clone(),
        polling: crowd.polling,
        poll_every: crowd.poll_every,
        sources: match local {
            true => (0..sources_each).map(|i| source(crowd.run, index * sources_each + i)).collect(),
            false => Vec::new(),
        },
    };
    (0..count).map(share).collect()
}

/// Local addresses away from those that servers listen on; other runs on this machine have others, for two
/// that share them would take each other's ports.
fn source(run: u32, index: u32) -> IpAddr {
    let byte = |value: u32| u8::try_from(1 + value % 250).unwrap_or(1);
    Ipv4Addr::new(127, byte(run), byte(index / 250), byte(index)).into()
}

fn is_loopback_v4(address: IpAddr) -> bool {
    address.is_ipv4() && address.is_loopback()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn crowd(visitors: u32, to: &str) -> Crowd {
        let channels = Channels { address: to.parse().unwrap(), host: "h".into(), path: "/".into() };
        Crowd {
            visitors,
            seed: 7,
            run: 4_000_000,
            arrivals: Arrivals::Poisson { per_second: 100.0 },
            channels: vec![channels],
            polling: false,
            poll_every: None,
        }
    }

    #[test]
    fn everybody_is_in_one_part_and_no_part_is_too_large() {
        for (visitors, most) in [(1, 10), (10, 10), (11, 10), (1_000_000, 19_488)] {
            let shares = shares(&crowd(visitors, "127.0.0.1:80"), most);
            assert_eq!(shares.iter().map(|share| share.visitors).sum::<u32>(), visitors);
            assert!(shares.iter().all(|share| share.visitors <= most && share.visitors > 0));
            let seeds: BTreeSet<_> = shares.iter().map(|share| share.seed).collect();
            let sources: Vec<_> = shares.iter().flat_map(|share| share.sources.clone()).collect();
            assert_eq!(
                (seeds.len(), sources.iter().collect::<BTreeSet<_>>().len()),
                (shares.len(), sources.len())
            );
            assert!(sources.iter().all(|source| source.is_loopback() && !sources.is_empty()));
        }
        let two = shares(&crowd(20, "127.0.0.1:80"), 10);
        assert_eq!(two[0].arrivals, "poisson:50");
    }

    #[test]
    fn a_large_part_connects_from_several_addresses_and_a_far_target_from_the_systems_own() {
        let parts = shares(&crowd(90_000, "127.0.0.1:80"), 50_000);
        assert_eq!(parts.iter().map(|share| share.sources.len()).collect::<Vec<_>>(), [8, 8]);
        assert!(shares(&crowd(90_000, "192.0.2.1:80"), 50_000).iter().all(|share| share.sources.is_empty()));
        assert!(shares(&crowd(9, "[::1]:80"), 50_000).iter().all(|share| share.sources.is_empty()));
    }

    #[test]
    fn a_process_keeps_descriptors_for_itself() {
        assert_eq!(sockets_a_process(Some(20_000)), 19_488);
        assert_eq!(sockets_a_process(Some(100)), 1);
        assert_eq!(sockets_a_process(None), 100_000);
    }
}
