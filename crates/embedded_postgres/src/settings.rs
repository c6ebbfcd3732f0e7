//! What a caller may choose about a server, and the settings each kind of server starts from.

use std::path::PathBuf;

/// What a caller may choose about a server. The default suits most.
#[derive(Clone, Debug, Default)]
pub struct PostgresSettings {
    pub(crate) bin_dir: Option<PathBuf>,
    pub(crate) parameters: Vec<(String, String)>,
}

impl PostgresSettings {
    /// Uses the server binaries in this directory and looks nowhere else.
    #[must_use]
    pub fn bin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(dir.into());
        self
    }

    /// Sets a server parameter, as in `postgresql.conf`. Later ones win, and win over our own.
    #[must_use]
    pub fn set(mut self, parameter: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((parameter.into(), value.into()));
        self
    }
}

/// For every server: quiet, and the same on every machine.
pub(crate) const ALWAYS: &[(&str, &str)] = &[
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_checkpoints", "off"),
];

/// For servers that are thrown away: nothing waits for the disk, as no crash of the machine is
/// survived anyway. A crash of Postgres alone loses no commit, so tests may kill it; therefore
/// `synchronous_commit` stays on, which without `fsync` costs next to nothing.
pub(crate) const TEMPORARY: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "300"),
    ("shared_buffers", "64MB"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
    // In the data directory, so that nothing stays in /dev/shm, nor fills it where a container has
    // little.
    ("dynamic_shared_memory_type", "mmap"),
    // Its workers would connect to a template database just as it is being copied, which fails the
    // copy.
    ("autovacuum", "off"),
];

impl PostgresSettings {
    /// All parameters, those that win last.
    pub(crate) fn over(self, kind: &[(&str, &str)]) -> Vec<(String, String)> {
        let ours = ALWAYS.iter().chain(kind);
        let ours = ours.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ours.chain(self.parameters).collect()
    }
}
