//! The dashboards, alerts and runbooks are complete and consistent.

use std::{collections::BTreeSet, fs};

use super::{
    catalogue,
    files::{Panel, alerts, alerts_text, files, panels, repository},
    promql::selectors,
};
use crate::{process::run, settings::ProgramSettings};

/// The runbook's path for the name of an alert.
fn runbook_of(alert: &str) -> String {
    let name = alert.strip_prefix("Pigeonhole").expect(alert);
    let mut page = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !page.is_empty() {
            page.push('-');
        }
        page.push(c.to_ascii_lowercase());
    }
    format!("docs/runbooks/{page}.md")
}

#[test]
fn each_panel_title_is_a_question_and_its_description_explains_the_numbers() {
    for panel in panels() {
        assert!(panel.title().ends_with('?'), "{panel}");
        let json = &panel.json;
        let description = json["description"].as_str().unwrap_or("");
        assert!(description.ends_with('.'), "{panel} has no description");
        let defaults = &json["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string(), "{panel} has no unit");
        let steps = defaults["thresholds"]["steps"].as_array();
        assert!(
            steps.is_some_and(|steps| !steps.is_empty()),
            "{panel} has no thresholds"
        );
        for page in panel.runbooks() {
            let path = repository().join("docs/runbooks").join(page);
            assert!(
                path.is_file(),
                "{panel} links to {page}, which is not there"
            );
        }
    }
}

#[test]
fn each_alert_has_its_own_runbook_and_each_runbook_has_an_alert_and_a_panel() {
    let mut pages = BTreeSet::new();
    for alert in alerts() {
        assert_eq!(alert.runbook, runbook_of(&alert.name), "{alert:?}");
        assert!(
            ["critical", "warning"].contains(&alert.severity.as_str()),
            "{alert:?}"
        );
        assert!(
            alert.summary.contains(": "),
            "what is wrong, and what to do: {alert:?}"
        );
        pages.insert(alert.runbook);
    }
    let written: BTreeSet<_> = files("docs/runbooks", "md")
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "README.md")
        .collect();
    let told: BTreeSet<_> = pages
        .iter()
        .map(|page| page.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(written, told);
    let panels = panels();
    let linked: BTreeSet<_> = panels.iter().flat_map(|panel| panel.runbooks()).collect();
    for page in &told {
        assert!(linked.contains(page.as_str()), "no panel links to {page}");
    }
}

/// The headings of a runbook, in order.
const PARTS: [&str; 5] = [
    "## What it means",
    "## What users notice",
    "## How to investigate",
    "## How to fix",
    "## How to verify",
];

#[test]
fn each_runbook_has_all_parts() {
    for path in files("docs/runbooks", "md") {
        if path.ends_with("README.md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let headings: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("## "))
            .collect();
        assert_eq!(headings, PARTS, "{}", path.display());
    }
}

/// Our commands in a runbook: subcommands and options.
fn commands(page: &str) -> Vec<(Vec<&str>, Vec<&str>)> {
    let indented = page.lines().filter(|line| line.starts_with("    "));
    let quoted = page
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    indented
        .chain(quoted)
        .filter_map(|code| code.trim().strip_prefix("pigeonhole "))
        .map(|command| {
            let words = command.split_whitespace().take_while(|word| *word != "#");
            let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let is_option = |word: &&str| word.starts_with("--");
            // After the first option there may be values.
            let names = words
                .clone()
                .take_while(|word| is_name(word) && !is_option(word));
            (names.collect(), words.filter(is_option).collect())
        })
        .collect()
}

#[tokio::test]
async fn each_command_in_a_runbook_exists() {
    for path in files("docs/runbooks", "md") {
        let page = fs::read_to_string(&path).unwrap();
        for (words, options) in commands(&page) {
            let mut arguments = words.clone();
            arguments.push("--help");
            let ran = run(&arguments, &ProgramSettings::none()).await;
            assert_eq!(
                ran.code,
                Some(0),
                "{}: {words:?}: {}",
                path.display(),
                ran.stderr
            );
            for option in options {
                assert!(
                    ran.stdout.contains(option),
                    "{}: {words:?} {option}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_metric_is_used_by_a_dashboard_or_an_alert() {
    let panels = panels();
    let targets = panels.iter().flat_map(Panel::targets);
    let alerts = alerts_text();
    let mut seen: BTreeSet<String> = targets
        .flat_map(|target| selectors(&target.expr))
        .map(|selector| selector.name)
        .collect();
    for name in catalogue::all().0.keys() {
        if alerts.contains(name.as_str()) {
            seen.insert(name.clone());
        }
    }
    let seen: BTreeSet<_> = seen
        .iter()
        .filter_map(|name| catalogue::all().metric_of(name))
        .collect();
    let all = catalogue::all().0.keys().map(String::as_str);
    // Process metrics are standard ones, and not all of them need a panel.
    let unseen: Vec<_> = all
        .filter(|name| name.starts_with("pigeonhole_") && !seen.contains(name))
        .collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
}
