//! The room store on Redis.
