//! The limit on file descriptors. Each connection needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for all requests that may wait in a receiver, with a margin.
const WANTED: u64 = 65_536;

/// Raises this process's limit on file descriptors to what the system allows, at most 65,536. Many
/// systems start processes with a limit of 1,024, because of programs that use `select`. A receiver
/// may have more waiting connections than that.
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
        tracing::warn!(%error, wanted, "the limit on file descriptors cannot be raised");
    }
}
