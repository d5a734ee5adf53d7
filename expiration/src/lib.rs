//! expiration
