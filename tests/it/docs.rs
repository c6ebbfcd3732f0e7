//! The documentation names only existing things: commands and flags, settings, and linked files.

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

/// The README and all files in `docs/`.
fn documents() -> Vec<PathBuf> {
    let mut documents = vec![root().join("README.md")];
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

#[test]
fn every_link_to_a_file_points_to_an_existing_file() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            let there = document.parent().unwrap().join(file).exists();
            assert!(there, "{} links to {link}", document.display());
        }
    }
}
