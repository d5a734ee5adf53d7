//! How often one address may join.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, StatusCode};
use edge::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Checks after which addresses that have rested long enough are forgotten.
const FORGET_EVERY: u32 = 65_536;

pub(crate) struct JoinRate {
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    checks: AtomicU32,
}

impl JoinRate {
    pub fn new(per_minute: Option<u32>) -> Self {
        let limiter =
            per_minute.and_then(NonZeroU32::new).map(|rate| RateLimiter::keyed(Quota::per_minute(rate)));
        Self { limiter, checks: AtomicU32::new(0) }
    }

    /// 429 with `Retry-After` when the caller's address has joined too often.
    pub fn check(&self, extensions: &Extensions) -> Result<(), Problem> {
        let (Some(limiter), Some(ConnectInfo(address))) =
            (&self.limiter, extensions.get::<ConnectInfo<SocketAddr>>())
        else {
            return Ok(());
        };
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
        }
        limiter.check_key(&caller(address.ip())).map_err(|denied| {
            let wait = denied.wait_time_from(DefaultClock::default().now());
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_joins",
                "this address joins too often; try again later",
            )
            .retry_after(wait.as_secs() + 1)
        })
    }
}

/// Whom an address stands for: an IPv6 caller has a whole /64 to choose from.
fn caller(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_an_address_or_a_network_of_one_subscriber() {
        let rate = JoinRate::new(Some(1));
        let joins = |address: &str| {
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 1)));
            rate.check(&extensions).map_err(|problem| problem.code)
        };
        assert_eq!(joins("192.0.2.1"), Ok(()));
        assert_eq!(joins("192.0.2.2"), Ok(()));
        assert_eq!(joins("::ffff:192.0.2.1"), Err("too_many_joins"));
        assert_eq!(joins("2001:db8:0:1::1"), Ok(()));
        assert_eq!(joins("2001:db8:0:1:ffff::2"), Err("too_many_joins"));
        assert_eq!(joins("2001:db8:0:2::1"), Ok(()));
    }
}
