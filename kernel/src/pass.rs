//! Passes: EdDSA JWTs that let an admitted visitor into the shop, verifiable offline by the JWKS.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use hkdf::Hkdf;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::words::{Number, RoomId, Timestamp};

pub const ISSUER: &str = "turnline";

/// A pass's claims. Times are whole seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    pub iss: String,
    /// The room.
    pub aud: String,
    /// `v:` and the visitor token's `sub`, or `t:` and the ticket's id.
    pub sub: String,
    /// The visitor's number.
    pub num: Number,
    pub iat: u64,
    pub exp: u64,
    pub jti: String,
}

impl Pass {
    pub fn new(room: &RoomId, sub: String, number: Number, now: Timestamp, expires_at: Timestamp) -> Self {
        let (iat, exp) = (now.as_seconds(), expires_at.as_seconds());
        Self {
            iss: ISSUER.to_owned(),
            aud: room.as_str().to_owned(),
            // Renewals within a second are passes of their own.
            jti: format!("{room}.{number}.{}", now.as_millis()),
            sub,
            num: number,
            iat,
            exp,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPass {
    #[error("this is no pass of ours")]
    Forged,
    #[error("this pass has run out")]
    Expired,
}

/// Signs and verifies passes.
#[derive(Clone)]
pub struct PassKey {
    signing: EncodingKey,
    verifying: DecodingKey,
    public: [u8; 32],
    key_id: String,
}

/// A secret from which no key can be made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no signing key can be made of this secret")]
pub struct BadSecret;

impl PassKey {
    pub fn new(secret: &[u8]) -> Result<Self, BadSecret> {
        let mut seed = [0; 32];
        Hkdf::<Sha256>::new(None, secret).expand(b"turnline pass v1", &mut seed).map_err(|_| BadSecret)?;
        let signing = SigningKey::from_bytes(&seed);
        let public = signing.verifying_key().to_bytes();
        let der = signing.to_pkcs8_der().map_err(|_| BadSecret)?;
        Ok(Self {
            signing: EncodingKey::from_ed_der(der.as_bytes()),
            verifying: DecodingKey::from_ed_components(&BASE64.encode(public)).map_err(|_| BadSecret)?,
            public,
            key_id: BASE64.encode(&Sha256::digest(public)[..12]),
        })
    }

    /// The pass as a JWT; `None` only when the signing key is unusable.
    pub fn sign(&self, pass: &Pass) -> Option<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, pass, &self.signing).ok()
    }

    /// Checks signature, issuer and time; whose room it is, is the caller's question.
    pub fn verify(&self, jwt: &str, now: Timestamp) -> Result<Pass, BadPass> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        // Time is an argument here, and the room is compared by the caller.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.set_issuer(&[ISSUER]);
        let pass =
            jsonwebtoken::decode::<Pass>(jwt, &self.verifying, &rules).map_err(|_| BadPass::Forged)?.claims;
        if now.as_seconds() >= pass.exp { Err(BadPass::Expired) } else { Ok(pass) }
    }

    /// The JSON Web Key Set (RFC 7517, RFC 8037) that lets anyone verify.
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": self.key_id, "x": BASE64.encode(self.public),
        }]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_pass_is_good_until_it_ends_and_only_with_its_key() {
        let key = PassKey::new(b"secret").unwrap();
        let pass = Pass::new(&RoomId::parse("demo").unwrap(), "t:x".into(), 4, NOW, NOW.plus_seconds(60));
        let jwt = key.sign(&pass).unwrap();
        assert_eq!(key.verify(&jwt, NOW), Ok(pass));
        assert_eq!(key.verify(&jwt, NOW.plus_seconds(60)), Err(BadPass::Expired));
        assert_eq!(PassKey::new(b"other").unwrap().verify(&jwt, NOW), Err(BadPass::Forged));
        assert_eq!(key.verify(&jwt[..jwt.len() - 2], NOW), Err(BadPass::Forged));
    }

    #[test]
    fn the_published_key_verifies() {
        let key = PassKey::new(b"secret").unwrap();
        let pass = Pass::new(&RoomId::parse("demo").unwrap(), "t:x".into(), 4, NOW, NOW.plus_seconds(60));
        let jwt = key.sign(&pass).unwrap();
        let x = key.jwks()["keys"][0]["x"].as_str().unwrap().to_owned();
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.validate_exp = false;
        rules.set_audience(&["demo"]);
        let public = DecodingKey::from_ed_components(&x).unwrap();
        assert_eq!(jsonwebtoken::decode::<Pass>(&jwt, &public, &rules).unwrap().claims, pass);
    }
}
