//! Backends of many processes: Redis orders each room's events, Kafka carries them, PostgreSQL keeps the
//! registry and the shop.

pub mod kafka;
pub mod postgres;
pub mod redis;
