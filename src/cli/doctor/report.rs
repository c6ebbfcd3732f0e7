//! The list of findings, for people or scripts, and what the program exits with.

use std::process::ExitCode;

use serde::Serialize;

use super::{
    finding::{Finding, Status},
    fix::Change,
};
use crate::cli::output::plain;

/// What the doctor has found, and what it has changed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// With `--fix`: settings at Twilio.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<Change>,
}

impl Report {
    fn count(&self, status: Status) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.status == status).count()
    }

    /// 1 with a fault, 2 without one if something could not be seen, and else 0.
    pub(super) fn exit_code(&self) -> ExitCode {
        let faults = self.count(Status::Fault);
        match (faults, self.count(Status::Unchecked)) {
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
                Status::Ok => "ok",
                Status::Warning => "WARNING",
                Status::Fault => "FAULT",
                Status::Unchecked => "UNCHECKED",
            };
            let says = plain(&finding.says);
            let fix = finding.fix.as_deref().map(|fix| {
                let fix = plain(fix);
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
            counted(Status::Fault, "fault", "faults"),
            counted(Status::Warning, "warning", "warnings"),
            counted(Status::Unchecked, "unchecked", "unchecked"),
            counted(Status::Ok, "in order", "in order"),
        ];
        format!("{lines}\n{}.\n", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        Report {
            findings,
            changes: Vec::new(),
        }
    }

    #[test]
    fn a_fault_counts_more_than_what_could_not_be_seen_and_a_warning_not_at_all() {
        let ok = Finding::ok("a", "fine");
        let warning = Finding::warning("b", "hm", "look");
        let unseen = Finding::unchecked("c", "dark");
        let fault = Finding::fault("d", "broken", "mend");
        let code = |findings: &[&Finding]| {
            let findings = findings.iter().map(|finding| (*finding).clone());
            report(findings.collect()).exit_code()
        };
        assert_eq!(code(&[&ok, &warning]), ExitCode::SUCCESS);
        assert_eq!(code(&[&ok, &warning, &unseen]), ExitCode::from(2));
        assert_eq!(code(&[&ok, &unseen, &fault]), ExitCode::FAILURE);
    }

    #[test]
    fn each_finding_has_a_line_and_its_cure_the_next() {
        let text = report(vec![
            Finding::ok("one", "fine"),
            Finding::fault("longer", "broken\u{1b}", "mend"),
        ])
        .text();
        assert_eq!(
            text,
            "ok         one     fine\nFAULT      longer  broken \n                   → mend\n\n\
             1 fault, 0 warnings, 0 unchecked, 1 in order.\n"
        );
    }
}
