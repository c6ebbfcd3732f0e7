//! What the documentation names exists: commands and their flags, settings, files, tests, panels,
//! CI steps.

mod named_files;
mod named_tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use pigeonhole::config::VARIABLES;

use crate::{process::run, settings::ProgramSettings};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents in the repository's root, and all of `docs/`.
fn documents() -> Vec<PathBuf> {
    let names = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    let mut documents: Vec<_> = names.iter().map(|name| root().join(name)).collect();
    let mut open = vec![root().join("docs")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

/// The code in a document: indented lines and text between backticks.
fn code(text: &str) -> Vec<&str> {
    let mut code = Vec::new();
    for line in text.lines() {
        if line.starts_with("    ") {
            code.push(line.trim());
        } else {
            code.extend(line.split('`').skip(1).step_by(2));
        }
    }
    code
}

/// The words of a command after the program's name, if this code contains one.
fn command(code: &str) -> Option<Vec<&str>> {
    let before = |at: usize| code[..at].chars().next_back();
    let (at, name) = code
        .match_indices("pigeonhole ")
        .find(|(at, _)| before(*at).is_none_or(|c| c.is_whitespace() || c == '/'))?;
    let rest = &code[at + name.len()..];
    let end = rest
        .find(['#', ';', '|', '&', '`', '…'])
        .unwrap_or(rest.len());
    Some(rest[..end].split_whitespace().collect())
}

#[tokio::test]
async fn every_command_and_flag_that_the_documentation_names_exists() {
    let mut commands: BTreeMap<Vec<&str>, BTreeSet<&str>> = BTreeMap::new();
    let texts: Vec<_> = documents()
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for words in texts.iter().flat_map(|text| code(text)).filter_map(command) {
        let is_name = |word: &&str| {
            !word.starts_with('-') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        };
        let path: Vec<_> = words.iter().copied().take_while(is_name).collect();
        // Not a command: a path, or the user of that name.
        if path.is_empty() {
            continue;
        }
        let flags = words.iter().filter(|word| word.starts_with("--"));
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag));
        commands.entry(path).or_default().extend(flags);
    }
    for expected in ["doctor", "migrate", "receiver", "worker"] {
        assert!(
            commands.contains_key([expected].as_slice()),
            "{expected}: {commands:?}"
        );
    }
    for (path, flags) in &commands {
        if !cfg!(feature = "dev") && ["dev", "simulate"].contains(&path[0]) {
            continue; // this build has neither
        }
        let arguments = [path.as_slice(), &["--help"]].concat();
        let help = run(&arguments, &ProgramSettings::none()).await;
        // The first line must be the usage of this command, not a list of others.
        let usage = format!("Usage: pigeonhole {}", path.join(" "));
        assert!(
            help.code == Some(0) && help.stdout.contains(&usage),
            "{path:?}: {help:?}"
        );
        for flag in flags {
            let known = help.stdout.contains(&format!("{flag} "))
                || help.stdout.contains(&format!("{flag}\n"));
            assert!(known, "{path:?} has no {flag}");
        }
    }
}

#[test]
fn commands_are_found_in_code_and_not_in_prose() {
    for (code, expected) in [
        ("pigeonhole doctor --fix", Some(vec!["doctor", "--fix"])),
        (
            "pigeonhole jobs stats    # who waits",
            Some(vec!["jobs", "stats"]),
        ),
        (
            "ExecStart=/usr/local/bin/pigeonhole worker",
            Some(vec!["worker"]),
        ),
        ("$ pigeonhole jobs stats", Some(vec!["jobs", "stats"])),
        ("User=pigeonhole", None),
        ("my-pigeonhole is", None),
    ] {
        assert_eq!(command(code), expected, "{code}");
    }
    assert_eq!(code("a `b` c `d`\n    e `f`\n"), ["b", "d", "e `f`"]);
}

#[test]
fn every_setting_that_the_guides_name_exists() {
    for guide in ["operations.md", "twilio-setup.md"] {
        let text = fs::read_to_string(root().join("docs").join(guide)).unwrap();
        let words =
            text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        let settings = words.filter(|word| word.trim_matches('_').contains('_'));
        for setting in settings {
            let known = VARIABLES.iter().any(|variable| variable.name == setting);
            assert!(known, "{guide} names {setting}, which is no setting");
        }
    }
}

/// The anchor that a Markdown heading gets.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_in_it() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let name = document.display();
            assert!(target.exists(), "{name} links to {link}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == heading),
                    "{name} links to {link}, which has no such heading"
                );
            }
        }
    }
    assert_eq!(anchor("## What `kill -9` does"), "what-kill--9-does");
}

#[test]
fn the_readme_is_short_and_prose_has_at_most_100_columns() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 150);
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for line in text.lines() {
            let is_code_or_table = line.starts_with("    ") || line.trim_start().starts_with('|');
            assert!(
                is_code_or_table || line.chars().count() <= 100,
                "{}: {line}",
                document.display()
            );
        }
    }
}

#[test]
fn each_panel_that_a_runbook_names_is_on_a_dashboard() {
    let mut titles = BTreeSet::new();
    for file in fs::read_dir(root().join("grafana/dashboards")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
        let panels = dashboard["panels"].as_array().unwrap().iter();
        titles.extend(panels.map(|panel| panel["title"].as_str().unwrap().to_owned()));
    }
    for page in documents() {
        if !page.parent().unwrap().ends_with("runbooks") {
            continue;
        }
        // A title may be wrapped.
        let text = fs::read_to_string(&page).unwrap().replace('\n', " ");
        for title in text.split('"').skip(1).step_by(2) {
            if title.ends_with('?') {
                assert!(titles.contains(title), "{}: {title}", page.display());
            }
        }
    }
}

#[test]
fn each_step_of_ci_is_a_job() {
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    let workflow = fs::read_to_string(root().join(".github/workflows/ci.yml")).unwrap();
    let jobs: Vec<_> = workflow
        .lines()
        .filter_map(|line| {
            line.trim()
                .split_once("step: ")
                .or(line.trim().split_once("first: "))
        })
        .map(|(_, name)| name)
        .collect();
    let mut steps = 0;
    for line in script.lines() {
        let Some(rest) = line.trim().strip_prefix("step ") else {
            continue;
        };
        let quote = rest.chars().next().unwrap();
        let name = rest[1..].split(quote).next().unwrap();
        assert!(jobs.contains(&name), "no job runs {name}");
        steps += 1;
    }
    assert!(steps > 5, "{steps} steps");
}
