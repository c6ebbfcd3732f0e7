//! What a process is: its role and its name.

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The receiver alone.
    Receiver,
    /// A worker alone.
    Worker,
    /// Both.
    Both,
}

impl Role {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Worker => "worker",
            Self::Both => "both",
        }
    }
}

/// The default name of this process.
pub(crate) fn host_and_process() -> String {
    format!(
        "{}:{}",
        gethostname::gethostname().to_string_lossy(),
        std::process::id()
    )
}
