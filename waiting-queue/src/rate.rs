//! How often one address may join.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use axum::extract::ConnectInfo;
use axum::http::{Extensions, StatusCode};
use edge::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

pub(crate) struct JoinRate(Option<DefaultKeyedRateLimiter<IpAddr>>);

impl JoinRate {
    pub fn new(per_minute: Option<u32>) -> Self {
        Self(per_minute.and_then(NonZeroU32::new).map(|rate| RateLimiter::keyed(Quota::per_minute(rate))))
    }

    /// 429 with `Retry-After` when the caller's address has joined too often.
    pub fn check(&self, extensions: &Extensions) -> Result<(), Problem> {
        let (Some(limiter), Some(ConnectInfo(address))) =
            (&self.0, extensions.get::<ConnectInfo<SocketAddr>>())
        else {
            return Ok(());
        };
        limiter.check_key(&address.ip()).map_err(|denied| {
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
