//! Which jobs to list.

use super::state::JobState;
use crate::attempt::JobId;

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this state; else all live ones.
    pub state: Option<JobState>,
    /// Only those whose last error has this in it, in capitals or not.
    pub error: Option<String>,
    /// Only those with a higher number.
    pub after: Option<JobId>,
    /// At most so many.
    pub limit: u16,
}

/// The text to look for, in lower case.
pub(super) fn needle(error: Option<&str>) -> Option<String> {
    error.map(str::to_lowercase)
}
