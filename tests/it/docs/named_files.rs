//! Files and folders that the documentation names in backticks.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{documents, root};

/// All files and folders of the repository, relative to its root.
fn paths() -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    let mut open = vec![root().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if name == "target" || name == ".git" || name == "node_modules" {
                continue;
            }
            paths.insert(path.strip_prefix(root()).unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    paths
}

/// Is this piece of code the name of one of our files or folders?
fn is_path(code: &str) -> bool {
    const FOLDERS: [&str; 10] = [
        "src/",
        "jobs/",
        "crates/",
        "migrations/",
        "tests/",
        "grafana/",
        "docs/",
        "benches/",
        "script/",
        ".ci/",
    ];
    let plain = code
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
    let has_ending = [".rs", ".sql", ".toml", ".md", ".sh", ".yml"]
        .iter()
        .any(|ending| code.ends_with(ending));
    plain && (has_ending || FOLDERS.iter().any(|folder| code.starts_with(folder)))
}

#[test]
fn every_file_that_the_documentation_names_exists() {
    let paths = paths();
    let (mut named, mut missing) = (0, Vec::new());
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let indented = |line: &&str| !line.starts_with("    ");
        let pieces = text
            .lines()
            .filter(indented)
            .flat_map(|line| line.split('`').skip(1).step_by(2));
        for code in pieces.filter(|code| is_path(code)) {
            // A name may leave out the folders at its beginning, as `claim.rs` does.
            let path = Path::new(code.trim_end_matches('/'));
            if !paths.iter().any(|known| known.ends_with(path)) {
                missing.push(format!("{}: {code}", document.display()));
            }
            named += 1;
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named > 100, "{named} names");
}

#[test]
fn a_path_is_told_from_other_code() {
    for code in [
        "src/worker.rs",
        "claim.rs",
        "jobs/src/cleanup/",
        "script/dev",
        "deny.toml",
    ] {
        assert!(is_path(code), "{code}");
    }
    for code in [
        "queue.jobs",
        "sends::kills",
        "a/b",
        "GET /x.json",
        "migrations/*.sql",
    ] {
        assert!(!is_path(code), "{code}");
    }
}
