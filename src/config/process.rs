//! The settings of every long-running process.

use std::time::Duration;

use super::{admin::AdminConfig, reader::Reader};

/// A long-running process.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The admin listener.
    pub admin: AdminConfig,
    /// `SHUTDOWN_DELAY_SECONDS`.
    pub delay: Duration,
    /// `SHUTDOWN_GRACE_SECONDS`.
    pub grace: Duration,
    /// How long a loop may run without a heartbeat. It has no setting; tests shorten it.
    pub stuck_after: Duration,
}

impl ProcessConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let admin = AdminConfig::read(r);
        let delay = r.required("SHUTDOWN_DELAY_SECONDS", |text| match text.parse() {
            Ok(seconds @ 0..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a number of seconds from 0 to 3600".to_owned()),
        });
        let grace = r.required("SHUTDOWN_GRACE_SECONDS", |text| match text.parse() {
            Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a number of seconds from 1 to 3600".to_owned()),
        });
        Some(Self {
            admin: admin?,
            delay: delay?,
            grace: grace?,
            stuck_after: queue::STUCK_AFTER,
        })
    }
}
