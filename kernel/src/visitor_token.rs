//! Visitor tokens: HS256 JWTs by which the shop's own backend says who a visitor is.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Deserializer};

use crate::ticket::SUB_BYTES_MAX;
use crate::words::{LaneName, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Visitor {
    pub sub: String,
    /// Seconds since 1970; a part of a second is left out.
    #[serde(deserialize_with = "whole_seconds")]
    pub exp: u64,
    /// The lane that was granted.
    #[serde(default)]
    pub lane: Option<LaneName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadVisitor {
    #[error("the visitor token is not signed (HS256) with this room's key, or lacks sub or exp")]
    Forged,
    #[error("the visitor token has run out")]
    Expired,
    #[error("a sub is 1 to 128 characters (128 bytes in UTF-8), none of them U+0000")]
    Sub,
}

pub fn verify(jwt: &str, key: &[u8], now: Timestamp) -> Result<Visitor, BadVisitor> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.set_required_spec_claims(&["exp", "sub"]);
    let visitor = jsonwebtoken::decode::<Visitor>(jwt, &DecodingKey::from_secret(key), &rules)
        .map_err(|_| BadVisitor::Forged)?
        .claims;
    // Not every store can keep a U+0000.
    if !(1..=SUB_BYTES_MAX).contains(&visitor.sub.len()) || visitor.sub.contains('\0') {
        return Err(BadVisitor::Sub);
    }
    if now.as_seconds() >= visitor.exp { Err(BadVisitor::Expired) } else { Ok(visitor) }
}

/// RFC 7519 lets a date have a fraction.
fn whole_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let seconds = f64::deserialize(from)?;
    // Saturating: a date far beyond is the last one there is, and one before 1970 is over.
    Ok(seconds as u64)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn token(claims: serde_json::Value, key: &[u8]) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key)).unwrap()
    }

    #[test]
    fn only_the_shops_key_names_a_visitor() {
        let good = token(json!({"sub": "ann", "exp": 1_700_000_100, "lane": "vip"}), b"key");
        let visitor = verify(&good, b"key", NOW).unwrap();
        assert_eq!((visitor.sub.as_str(), visitor.lane.unwrap().as_str()), ("ann", "vip"));
        assert_eq!(verify(&good, b"other", NOW), Err(BadVisitor::Forged));
        assert_eq!(verify(&good, b"key", NOW.plus_seconds(100)), Err(BadVisitor::Expired));
        assert_eq!(verify(&token(json!({"sub": "ann"}), b"key"), b"key", NOW), Err(BadVisitor::Forged));
        let fraction = token(json!({"sub": "ann", "exp": 1_700_000_000.9}), b"key");
        assert_eq!(verify(&fraction, b"key", NOW), Err(BadVisitor::Expired));
        let fraction = token(json!({"sub": "ann", "exp": 1_700_000_001.5}), b"key");
        assert!(verify(&fraction, b"key", NOW).is_ok());
        let long = token(json!({"sub": "x".repeat(129), "exp": 1_700_000_100}), b"key");
        assert_eq!(verify(&long, b"key", NOW), Err(BadVisitor::Sub));
        let nul = token(json!({"sub": "ann\0", "exp": 1_700_000_100}), b"key");
        assert_eq!(verify(&nul, b"key", NOW), Err(BadVisitor::Sub));
    }
}
