//! What the operating system lets this process hold.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one; the limit in force then, absent when there is none.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    limit.current = hard;
    if setrlimit(Resource::Nofile, limit).is_ok() { hard } else { getrlimit(Resource::Nofile).current }
}
