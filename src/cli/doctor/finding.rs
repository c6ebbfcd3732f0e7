//! The result of a check.

use serde::Serialize;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FindingStatus {
    /// All is correct.
    Ok,
    /// It works, but an operator should look at it.
    Warning,
    /// Something does not work, or messages are at risk.
    Fault,
    /// The check could not run.
    Unchecked,
}

/// One or two sentences about one subject.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// The name of the check. Scripts read it, so it does not change.
    pub(super) check: &'static str,
    pub(super) status: FindingStatus,
    /// What the check found.
    pub(super) says: String,
    /// The command or the setting that corrects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self::of(check, FindingStatus::Ok, says, None)
    }

    pub(super) fn warning(
        check: &'static str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::of(check, FindingStatus::Warning, says, Some(fix.into()))
    }

    pub(super) fn fault(
        check: &'static str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::of(check, FindingStatus::Fault, says, Some(fix.into()))
    }

    pub(super) fn unchecked(check: &'static str, why: impl Into<String>) -> Self {
        Self::of(check, FindingStatus::Unchecked, why, None)
    }

    /// The check could not run because of this error.
    pub(super) fn failed(check: &'static str, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        Self::unchecked(check, format!("could not be checked: {error:#}"))
    }

    fn of(
        check: &'static str,
        status: FindingStatus,
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
