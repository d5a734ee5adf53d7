//! The channel over real sockets and the embedded backend: what a visitor hears, and what closes it.

mod admission;
mod line;
mod manners;
mod scene;
mod visitor;
