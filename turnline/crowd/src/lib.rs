//! A WebSocket client for crowds: thousands of sockets on one epoll, a few dozen bytes each.
//! One thread drives one [`Crowd`]; who wants more threads runs several.
//! Only what such a crowd needs of RFC 6455: whole texts in, short texts out, pings answered.

mod answer;
mod drive;
mod frames;
mod handshake;
mod masked;
mod slot;

pub use drive::{Crowd, Listener};
pub use handshake::Handshake;
