//! What every service does at its edges: problems as answers, strict bodies, headers, the room registry
//! as a node keeps it, the claim of a session, the consumption of events.

mod admin;
mod body;
mod claim;
mod consume;
mod headers;
pub mod mirror;
pub mod opening;
pub mod pass;
mod problem;
pub mod rooms;
mod standing;

pub use admin::{AdminToken, require_admin};
pub use body::{BODY_BYTES_MAX, NoBody, StrictJson, read_json};
pub use claim::{claim, end, renew};
pub use consume::{Failure, consume, consume_side_by_side, receive, set_aside, tell_fault};
pub use headers::{bearer, idempotency_key};
pub use problem::{Problem, ProblemBody, method_not_allowed, not_found};
pub use standing::{seen, visitor_digest};
