//! What a check has found.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// Something does not work, or messages are at risk.
    Fault,
    /// It could not be seen.
    Unchecked,
}

/// One sentence or two on one thing.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// What was looked at, for scripts: these names stay.
    pub(super) check: &'static str,
    pub(super) status: Status,
    /// What is so.
    pub(super) says: String,
    /// The command or the setting that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self::of(check, Status::Ok, says, None)
    }

    pub(super) fn warning(
        check: &'static str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::of(check, Status::Warning, says, Some(fix.into()))
    }

    pub(super) fn fault(
        check: &'static str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::of(check, Status::Fault, says, Some(fix.into()))
    }

    pub(super) fn unchecked(check: &'static str, why: impl Into<String>) -> Self {
        Self::of(check, Status::Unchecked, why, None)
    }

    /// It could not be seen, as this came instead.
    pub(super) fn failed(check: &'static str, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        Self::unchecked(check, format!("could not be checked: {error:#}"))
    }

    fn of(
        check: &'static str,
        status: Status,
        says: impl Into<String>,
        fix: Option<String>,
    ) -> Self {
        Self {
            check,
            status,
            says: says.into(),
            fix,
        }
    }
}
