//! Who calls: the visitor of a pass, whether their slot still stands, and which call this is.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use edge::{Problem, bearer, claim, idempotency_key};
use kernel::pass::BadPass;
use kernel::ports::StoreError;
use kernel::ports::reservations::{CallKey, Caller, Operation};
use kernel::reservation::{Owner, Slot};
use kernel::room::Standing;
use kernel::session::{Session, Terms};
use kernel::words::{Digest, Number, RoomId, Timestamp};

use crate::Shop;

/// The bearer of a pass that is genuine and not expired; whether the slot still stands is asked apart.
pub struct Visitor {
    pub owner: Owner,
    number: Number,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<Shop>> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<Self, Problem> {
        let jwt = bearer(&parts.headers)?.ok_or_else(|| {
            Problem::unauthorized(
                "pass_required",
                "send Authorization: Bearer with the pass you were given when you were admitted",
            )
        })?;
        let pass = shop.ports.pass_key.verify(jwt, shop.now()).map_err(|bad| match bad {
            BadPass::Forged => Problem::unauthorized("invalid_pass", "this is no pass of ours"),
            BadPass::Expired => {
                Problem::unauthorized("pass_expired", "this pass has run out; renew the ticket or join again")
            }
        })?;
        let room = RoomId::parse(&pass.aud)
            .map_err(|_| Problem::unauthorized("invalid_pass", "this pass names no room"))?;
        let owner = Owner { room, sub: pass.sub };
        Ok(Self { owner, number: pass.num, headers: parts.headers.clone() })
    }
}

impl Visitor {
    /// Whether the visitor is inside. To use a pass is to claim the slot it is for.
    pub async fn caller(&self, shop: &Shop, now: Timestamp) -> Result<Caller, Problem> {
        let outside = Caller::Outside(self.owner.clone());
        let standing = match shop.ports.rooms.seen(&self.owner.room, self.number).await {
            Ok(seen) => seen.standing,
            // A room that is gone has nobody inside; what was bought in it can still be read.
            Err(StoreError::UnknownRoom) => Standing::Unknown,
            Err(error @ (StoreError::Unavailable(_) | StoreError::Broken(_))) => return Err(error.into()),
        };
        let session = match standing {
            Standing::Session(session @ Session::Called { .. }) => self.claimed(shop, session, now).await?,
            Standing::Session(session @ Session::Active { .. }) => Some(session),
            Standing::Unknown | Standing::Prequeue | Standing::Waiting(_) | Standing::Ended(_) => None,
        };
        Ok(match session {
            Some(Session::Active { expires_at, .. }) if now < expires_at => {
                Caller::Inside(Slot { owner: self.owner.clone(), number: self.number, expires_at })
            }
            Some(Session::Active { .. } | Session::Called { .. }) | None => outside,
        })
    }

    /// Notes that the pass was used, where nothing depends on whether the visitor is inside.
    pub async fn was_heard(&self, shop: &Shop, now: Timestamp) {
        if let Err(problem) = self.caller(shop, now).await {
            tracing::warn!(code = problem.code, "a claim by using the pass was not noted");
        }
    }

    /// The call's `Idempotency-Key`, with what was asked for.
    pub fn key(&self, operation: Operation, body: &[&[u8]]) -> Result<Option<CallKey>, Problem> {
        let key = idempotency_key(&self.headers)?;
        Ok(key.map(|key| CallKey { operation, key: key.to_owned(), body: Digest::of(body) }))
    }

    pub fn required_key(&self, operation: Operation, body: &[&[u8]]) -> Result<CallKey, Problem> {
        self.key(operation, body)?.ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency_key_required",
                "send an Idempotency-Key of 1 to 255 characters, the same one when you repeat this call",
            )
        })
    }

    /// The caller's W3C trace context, when it is one.
    pub fn traceparent(&self) -> Option<String> {
        let text = self.headers.get("traceparent")?.to_str().ok()?;
        let good = text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        good.then(|| text.to_owned())
    }

    async fn claimed(
        &self,
        shop: &Shop,
        session: Session,
        now: Timestamp,
    ) -> Result<Option<Session>, Problem> {
        let record = shop.ports.registry.get(&self.owner.room).await?;
        let terms = Terms::from(&record.policy);
        Ok(claim(shop.ports.rooms.as_ref(), &self.owner.room, self.number, session, terms, now).await?)
    }
}

/// An id in a path. One that is no text, or has the one character that databases cannot keep, names nothing.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        match path {
            Ok(Path(id)) if !id.contains('\0') => Ok(Self(id)),
            Ok(_) | Err(_) => Err(crate::problems::unknown("unknown_id", "thing")),
        }
    }
}
