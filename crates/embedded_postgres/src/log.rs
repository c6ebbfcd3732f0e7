//! The server's log.

use std::{fs, path::Path};

const TAIL_LINES: usize = 20;

/// Returns the last lines of the log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let Ok(bytes) = fs::read(log) else {
        return format!("(no log at {})", log.display());
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
