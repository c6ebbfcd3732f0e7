//! A look, as it goes from number to number.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{alerts::FailedWebhooks, report::LookReport};

/// A look that takes longer ends, and the next one continues.
const LONGEST_LOOK: Duration = Duration::from_mins(5);

/// Which messages a look considers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LookScope {
    /// Those of this last time, also from before a number pointed at us. `None`: those since the
    /// last look.
    pub since: Option<Duration>,
    /// Only reports what it would recover.
    pub dry_run: bool,
}

impl LookScope {
    /// Whether the look moves the watermarks on.
    pub(super) fn moves_watermarks(self) -> bool {
        self.since.is_none() && !self.dry_run
    }
}

/// A look, as it goes from number to number.
pub(super) struct Look {
    pub(super) scope: LookScope,
    /// The database's time when it began.
    pub(super) now: DateTime<Utc>,
    begun: Instant,
    pub(super) webhooks: FailedWebhooks,
    pub(super) report: LookReport,
}

impl Look {
    pub(super) fn begin(scope: LookScope, now: DateTime<Utc>, numbers: usize) -> Self {
        Self {
            scope,
            now,
            begun: Instant::now(),
            webhooks: FailedWebhooks::default(),
            report: LookReport {
                dry_run: scope.dry_run,
                numbers,
                ..LookReport::default()
            },
        }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.begun.elapsed() > LONGEST_LOOK
    }
}
