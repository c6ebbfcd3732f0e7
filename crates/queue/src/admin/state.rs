//! The states of a job.

use serde::Serialize;

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Ready: a worker may claim it now.
    Available,
    /// A worker holds it.
    Running,
    /// It waits for its time: delayed, failed or snoozed.
    Scheduled,
    /// A dead letter.
    Dead,
}

impl JobState {
    pub(super) fn of_live(ready: bool, held: bool) -> Self {
        match (ready, held) {
            (true, _) => Self::Available,
            (false, true) => Self::Running,
            (false, false) => Self::Scheduled,
        }
    }

    /// As in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Running => "running",
            Self::Scheduled => "scheduled",
            Self::Dead => "dead",
        }
    }
}
