//! Each connection takes a file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for whatever may wait in a receiver, with room to spare.
const WANTED: u64 = 65_536;

/// Lets this process have as many file descriptors as the system allows, at most 65,536. Many systems start processes
/// with 1,024, for the sake of programs that use `select`, and let them ask for more; that would be fewer connections
/// than a receiver may have waiting.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, wanted, "cannot have more file descriptors");
    }
}
