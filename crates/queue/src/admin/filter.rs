//! Which jobs to list.

use super::state::JobState;
use crate::attempt::JobId;

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this state. `None`: all live jobs.
    pub state: Option<JobState>,
    /// Only jobs whose last error contains this text, in upper or lower case.
    pub error: Option<String>,
    /// Only jobs with a higher number.
    pub after: Option<JobId>,
    /// The most jobs on a page.
    pub limit: u16,
}

/// The text to look for, in lower case.
pub(super) fn needle(error: Option<&str>) -> Option<String> {
    error.map(str::to_lowercase)
}
