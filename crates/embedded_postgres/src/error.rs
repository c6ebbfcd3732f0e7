//! Why a server did not start or stop.

use std::{io, path::PathBuf};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No directory held both `initdb` and `postgres`.
    #[error(
        "no Postgres server binaries (initdb, postgres) found; install them with script/bootstrap, \
         or put their directory on PATH. Searched: {}",
        list(searched)
    )]
    NoBinaries {
        /// The directories searched, in order.
        searched: Vec<PathBuf>,
    },
    /// The data was made by a major version whose binaries are not here.
    #[error(
        "{} holds the data of Postgres {wanted}, but only other versions are installed; install \
         Postgres {wanted} or move the directory away. Searched: {}",
        dir.display(),
        list(searched)
    )]
    NoBinariesOfVersion {
        /// Where the data is.
        dir: PathBuf,
        /// The major version that made it.
        wanted: String,
        /// The directories searched, in order.
        searched: Vec<PathBuf>,
    },
    /// We are root, which Postgres refuses to run as, and found nobody else to run it as.
    #[error("Postgres does not run as root, and there is no user `postgres` or `nobody` to run it")]
    NoAccount,
    /// We are root and the user Postgres runs as cannot reach its directory.
    #[error(
        "Postgres does not run as root but as {account}, who may not enter {}; choose a directory \
         outside it, or run as an ordinary user",
        barrier.display()
    )]
    OutOfReach {
        /// The directory that user cannot enter.
        barrier: PathBuf,
        /// The user.
        account: String,
    },
    /// The directory holds something else, which we will not touch.
    #[error("{} is not empty and was not made by us; choose a directory of its own", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process runs a server on this data.
    #[error("another `pigeonhole dev` is using {} ({owner})", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// What is known of the other process.
        owner: String,
    },
    /// `initdb` or `postgres` ended instead of starting.
    #[error("Postgres did not start; its log ends with:\n{log_tail}")]
    Failed {
        /// The last lines of the log.
        log_tail: String,
    },
    /// Postgres is running but was not ready in time.
    #[error("Postgres was not ready in time; its log ends with:\n{log_tail}")]
    TimedOut {
        /// The last lines of the log.
        log_tail: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What we were doing.
        doing: String,
        /// What it said.
        source: io::Error,
    },
}

impl StartError {
    /// For `map_err`: says what was being done when the operating system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Postgres was told to stop and did not.
#[derive(Debug, thiserror::Error)]
#[error("Postgres did not stop in time; its log is {}", log.display())]
pub struct StopError {
    /// Where its log is.
    pub log: PathBuf,
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
