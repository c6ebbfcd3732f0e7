//! The errors of starting and stopping a server.

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
    /// The binaries of the major version that created the data are not installed.
    #[error(
        "{} holds the data of Postgres {wanted}, but only other versions are installed; install \
         Postgres {wanted} or move the directory away. Searched: {}",
        dir.display(),
        list(searched)
    )]
    NoBinariesOfVersion {
        /// The directory of the data.
        dir: PathBuf,
        /// The major version that created it.
        wanted: String,
        /// The directories searched, in order.
        searched: Vec<PathBuf>,
    },
    /// We are root, Postgres refuses to run as root, and no other account was found.
    #[error("Postgres does not run as root, and there is no user `postgres` or `nobody` to run it")]
    NoAccount,
    /// We are root, and the account that Postgres runs as cannot enter its directory.
    #[error(
        "Postgres does not run as root but as {account}, which may not enter {}; choose another \
         directory, or run as an ordinary user",
        barrier.display()
    )]
    OutOfReach {
        /// The directory that the account cannot enter.
        barrier: PathBuf,
        /// The account.
        account: String,
    },
    /// The directory holds files that we did not create.
    #[error("{} is not empty, and pigeonhole did not create it; choose another directory", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process uses this data.
    #[error("another `pigeonhole dev` is using {} ({owner})", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// A description of the other process.
        owner: String,
    },
    /// `initdb` or `postgres` exited during the start.
    #[error("Postgres did not start; its log ends with:\n{log_tail}")]
    Failed {
        /// The last lines of the log.
        log_tail: String,
    },
    /// Postgres runs but was not ready in time.
    #[error("Postgres was not ready in time; its log ends with:\n{log_tail}")]
    TimedOut {
        /// The last lines of the log.
        log_tail: String,
    },
    /// An operation of the operating system failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// The operation.
        doing: String,
        /// The reason.
        source: io::Error,
    },
}

impl StartError {
    /// For `map_err`: adds the operation to an error of the operating system.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Postgres did not stop in time.
#[derive(Debug, thiserror::Error)]
#[error("Postgres did not stop in time; its log is {}", log.display())]
pub struct StopError {
    /// Its log.
    pub log: PathBuf,
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
