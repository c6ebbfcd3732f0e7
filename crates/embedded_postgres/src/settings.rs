//! The settings of a server: the caller's choices and our defaults.

use std::path::PathBuf;

/// A caller's choices for a server. The default suits most callers.
#[derive(Clone, Debug, Default)]
pub struct PostgresSettings {
    pub(crate) bin_dir: Option<PathBuf>,
    pub(crate) parameters: Vec<(String, String)>,
}

impl PostgresSettings {
    /// Uses the server binaries in this directory only.
    #[must_use]
    pub fn bin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(dir.into());
        self
    }

    /// Sets a server parameter, as in `postgresql.conf`. Later calls win over earlier ones and over
    /// our defaults.
    #[must_use]
    pub fn set(mut self, parameter: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((parameter.into(), value.into()));
        self
    }
}

/// For every server: a short log, and the same settings on every machine.
pub(crate) const ALWAYS: &[(&str, &str)] = &[
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_checkpoints", "off"),
];

/// For temporary servers. They need not survive a crash of the machine, so they never wait for the
/// disk. Tests kill Postgres, and a crash of Postgres alone must lose no commit: so
/// `synchronous_commit` stays on, which costs almost nothing without `fsync`.
pub(crate) const TEMPORARY: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "300"),
    ("shared_buffers", "64MB"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
    // Shared memory lies in the data directory: after a kill nothing stays in /dev/shm, which is
    // small in containers.
    ("dynamic_shared_memory_type", "mmap"),
    // A worker of autovacuum may connect to a template database while it is copied. The copy would
    // fail.
    ("autovacuum", "off"),
    // A client that connects while the server stops, and freezes before it says who it is, holds up
    // the stop for this long.
    ("authentication_timeout", "10s"),
];

impl PostgresSettings {
    /// Returns all parameters. Later ones win.
    pub(crate) fn with_defaults(self, defaults: &[(&str, &str)]) -> Vec<(String, String)> {
        let ours = ALWAYS.iter().chain(defaults);
        let ours = ours.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ours.chain(self.parameters).collect()
    }
}
