//! Rules of the layout that no compiler checks. `cargo test --test it architecture` runs them.

mod imports;
mod source;

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Component, Path, PathBuf},
};

use imports::CrateFiles;
use source::ProductSource;

/// The crates of the product with their folders, and the crates that each may depend on.
const CRATES: [(&str, &str, &[&str]); 8] = [
    (
        "pigeonhole",
        "",
        &[
            "jobs",
            "store",
            "queue",
            "twilio",
            "group_commit",
            "embedded_postgres",
            "twilio_simulator",
        ],
    ),
    (
        "jobs",
        "jobs",
        &["store", "queue", "twilio", "group_commit"],
    ),
    (
        "store",
        "crates/store",
        &["queue", "twilio", "group_commit"],
    ),
    ("queue", "crates/queue", &["group_commit"]),
    ("twilio", "crates/twilio", &[]),
    ("group_commit", "crates/group_commit", &[]),
    ("twilio_simulator", "crates/twilio_simulator", &["twilio"]),
    ("embedded_postgres", "crates/embedded_postgres", &[]),
];

/// Starts databases for the tests of every crate.
const FOR_TESTS: &str = "embedded_postgres";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source folder of a crate, relative to the repository.
fn src(folder: &str) -> String {
    Path::new(folder).join("src").to_str().unwrap().to_owned()
}

/// All Rust files under these folders of the repository.
fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    assert!(!files.is_empty(), "{folders:?}");
    files
}

/// Whether the source runs a statement, or a string literal in it begins like one.
fn holds_sql(source: &str) -> bool {
    const CALLS: [&str; 4] = ["sqlx::query", "sqlx::raw_sql", "QueryBuilder", ".execute("];
    const STARTS: [&str; 9] = [
        "select ",
        "insert into ",
        "update ",
        "delete from ",
        "with ",
        "create ",
        "alter ",
        "lock table ",
        "set local ",
    ];
    let source = source.to_lowercase();
    let literals = source.split('"').skip(1).map(str::trim_start);
    CALLS
        .iter()
        .any(|call| source.contains(&call.to_lowercase()))
        || literals
            .into_iter()
            .any(|text| STARTS.iter().any(|start| text.starts_with(start)))
}

#[test]
fn only_the_store_and_the_queue_hold_sql() {
    for file in rust_files(&["src", "jobs", "crates/twilio", "crates/twilio_simulator"]) {
        let mut parts = file.components().map(Component::as_os_str);
        if parts.any(|part| part == "tests" || part == "tests.rs") {
            continue; // tests may read any row
        }
        let source = fs::read_to_string(&file).unwrap();
        assert!(!holds_sql(&source), "{} holds SQL", file.display());
    }
    assert!(holds_sql("sqlx::query!(\"\n  SELECT 1\")"));
    assert!(holds_sql("let text = r#\"insert into t\"#;"));
}

#[test]
fn files_are_short_enough_to_read() {
    let folders = CRATES.map(|(_, folder, _)| src(folder));
    let folders = folders.each_ref().map(String::as_str);
    let mut lengths: Vec<(usize, PathBuf)> = rust_files(&folders)
        .into_iter()
        .filter(|file| file.file_name().is_some_and(|name| name != "tests.rs"))
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file))
        .collect();
    lengths.sort();
    let at = |percent: usize| lengths[lengths.len() * percent / 100].0;
    assert!(
        at(50) <= 150,
        "half of the files have more than {} lines",
        at(50)
    );
    assert!(
        at(90) <= 350,
        "a tenth of the files have more than {} lines",
        at(90)
    );
    let (longest, file) = lengths.last().unwrap();
    assert!(*longest <= 500, "{} has {longest} lines", file.display());
}

#[test]
fn crates_depend_in_one_direction() {
    let names = CRATES.map(|(name, _, _)| name);
    for (name, folder, allowed) in CRATES {
        let manifest = root().join(folder).join("Cargo.toml");
        let mut section = String::new();
        for line in fs::read_to_string(manifest).unwrap().lines() {
            if let Some(heading) = line.strip_prefix('[') {
                section = heading.trim_end_matches(']').to_owned();
            }
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            let used = &line[..end];
            let is_dependency =
                section.ends_with("dependencies") && !section.starts_with("workspace");
            if !is_dependency || !names.contains(&used) {
                continue;
            }
            let is_for_tests = section.ends_with("dev-dependencies") && used == FOR_TESTS;
            assert!(
                allowed.contains(&used) || is_for_tests,
                "{name} must not depend on {used}, as [{section}] of its Cargo.toml says"
            );
        }
    }
}

#[test]
fn the_receiver_does_not_import_jobs() {
    let files = crate_files("");
    let receiver = root().join("src/receiver");
    let mut importing = Vec::new();
    for (file, names) in files.first_names() {
        if file.starts_with(&receiver) && names.contains("jobs") {
            importing.push(relative(file));
        }
    }
    assert!(importing.is_empty(), "these import jobs: {importing:?}");
}

fn crate_files(folder: &str) -> CrateFiles {
    let src = src(folder);
    CrateFiles::read(&root().join(&src), &rust_files(&[&src]))
}

fn relative(file: &Path) -> String {
    let file = file.strip_prefix(root()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn no_file_imports_itself_through_others() {
    let circles: Vec<_> = CRATES
        .iter()
        .flat_map(|(_, folder, _)| crate_files(folder).circles())
        .collect();
    let folder = format!("{}/", root().display());
    let text = circles.join("\n").replace(&folder, "");
    assert!(circles.is_empty(), "{} circles\n{text}", circles.len());
}

#[test]
fn no_two_public_types_share_a_name() {
    let product = CRATES.map(|(_, folder, _)| src(folder));
    let tests: Vec<_> = CRATES
        .iter()
        .flat_map(|(_, folder, _)| ["tests", "benches"].map(|name| Path::new(folder).join(name)))
        .filter(|folder| root().join(folder).exists())
        .map(|folder| folder.to_str().unwrap().to_owned())
        .collect();
    let mut text = String::new();
    for folders in [product.as_slice(), tests.as_slice()] {
        let folders: Vec<_> = folders.iter().map(String::as_str).collect();
        let mut files_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in rust_files(&folders) {
            for name in public_types(&fs::read_to_string(&file).unwrap()) {
                files_of.entry(name).or_default().push(relative(&file));
            }
        }
        for (name, files) in files_of.iter_mut().filter(|(_, files)| files.len() > 1) {
            files.sort();
            writeln!(text, "{name}: {}", files.join(", ")).unwrap();
        }
    }
    assert!(text.is_empty(), "types with the same name:\n{text}");
}

/// The types of a file that another module can see, be it only the parent module.
fn public_types(source: &str) -> Vec<String> {
    let tokens = ProductSource::parse(source).tokens;
    let words: Vec<_> = tokens.iter().map(String::as_str).collect();
    let mut names = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if *word != "pub" {
            continue;
        }
        let mut rest = &words[at + 1..];
        if let ["(", visible_to, ..] = rest {
            if *visible_to == "self" {
                continue;
            }
            let end = rest.iter().position(|word| *word == ")").unwrap();
            rest = &rest[end + 1..];
        }
        if let ["struct" | "enum" | "trait" | "type" | "union", name, ..] = rest {
            names.push((*name).to_owned());
        }
    }
    names
}

#[test]
fn every_type_that_another_module_can_see_is_found() {
    let source = "pub struct A; struct B; pub(super) enum C {} pub(in crate::x) trait D {} \
                  pub(self) type E = A; impl F for A { type G = A; }";
    assert_eq!(public_types(source), ["A", "C", "D"]);
}
