//! The operator's token.

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::headers::bearer;
use crate::problem::Problem;

/// The admin token, kept as a hash so that it can be neither logged nor compared by timing.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    pub fn is(&self, token: &str) -> bool {
        self.0 == <[u8; 32]>::from(Sha256::digest(token))
    }
}

pub fn require_admin(admin: &AdminToken, headers: &HeaderMap) -> Result<(), Problem> {
    let wrong =
        || Problem::unauthorized("admin_token_required", "send Authorization: Bearer with the admin token");
    let token = bearer(headers)?.ok_or_else(wrong)?;
    if admin.is(token) { Ok(()) } else { Err(wrong()) }
}
