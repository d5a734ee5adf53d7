//! Every adapter behind the kernel's ports; the only crate that knows a database.

pub mod clock;
pub mod cluster;
pub mod embedded;
pub mod entropy;
