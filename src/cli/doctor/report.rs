//! The list of findings, as text or JSON, and the exit code.

use std::process::ExitCode;

use serde::Serialize;

use super::{
    change::ProposedChange,
    finding::{Finding, FindingStatus},
};
use crate::presentation::text::one_line;

/// All findings, and the settings that the doctor changed.
#[derive(Debug, Serialize)]
pub(super) struct DoctorReport {
    pub(super) findings: Vec<Finding>,
    /// The settings at Twilio that `--fix` changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<ProposedChange>,
}

impl DoctorReport {
    fn count(&self, status: FindingStatus) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.status == status).count()
    }

    /// 1 if there is a fault, 2 if a check could not run, and otherwise 0.
    pub(super) fn exit_code(&self) -> ExitCode {
        let faults = self.count(FindingStatus::Fault);
        match (faults, self.count(FindingStatus::Unchecked)) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    pub(super) fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len());
        let width = width.max().unwrap_or(0);
        let line = |finding: &Finding| {
            let status = match finding.status {
                FindingStatus::Ok => "ok",
                FindingStatus::Warning => "WARNING",
                FindingStatus::Fault => "FAULT",
                FindingStatus::Unchecked => "UNCHECKED",
            };
            let says = one_line(&finding.says);
            let fix = finding.fix.as_deref().map(|fix| {
                let fix = one_line(fix);
                format!("{:<9}  {:<width$}  → {fix}\n", "", "")
            });
            let fix = fix.unwrap_or_default();
            format!("{status:<9}  {:<width$}  {says}\n{fix}", finding.check)
        };
        let lines: String = self.findings.iter().map(line).collect();
        let counted = |status, one: &str, many: &str| {
            let count = self.count(status);
            format!("{count} {}", if count == 1 { one } else { many })
        };
        let words = [
            counted(FindingStatus::Fault, "fault", "faults"),
            counted(FindingStatus::Warning, "warning", "warnings"),
            counted(FindingStatus::Unchecked, "unchecked", "unchecked"),
            counted(FindingStatus::Ok, "ok", "ok"),
        ];
        format!("{lines}\n{}.\n", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> DoctorReport {
        DoctorReport {
            findings,
            changes: Vec::new(),
        }
    }

    #[test]
    fn the_exit_code_is_that_of_a_fault_then_of_an_unchecked_finding_and_warnings_do_not_count() {
        let ok = Finding::ok("a", "fine");
        let warning = Finding::warning("b", "hm", "look");
        let unchecked = Finding::unchecked("c", "dark");
        let fault = Finding::fault("d", "broken", "correct it");
        let code = |findings: &[&Finding]| {
            let findings = findings.iter().map(|finding| (*finding).clone());
            report(findings.collect()).exit_code()
        };
        assert_eq!(code(&[&ok, &warning]), ExitCode::SUCCESS);
        assert_eq!(code(&[&ok, &warning, &unchecked]), ExitCode::from(2));
        assert_eq!(code(&[&ok, &unchecked, &fault]), ExitCode::FAILURE);
    }

    #[test]
    fn each_finding_has_a_line_and_its_fix_has_the_next_line() {
        let text = report(vec![
            Finding::ok("one", "fine"),
            Finding::fault("longer", "broken\u{1b}", "correct it"),
        ])
        .text();
        assert_eq!(
            text,
            "ok         one     fine\nFAULT      longer  broken \n                   → correct it\n\n\
             1 fault, 0 warnings, 0 unchecked, 1 ok.\n"
        );
    }
}
