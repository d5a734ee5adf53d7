//! client-channel
