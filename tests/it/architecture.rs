//! What the layout promises and no compiler checks.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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

/// Does a string literal of this source start like a statement, or is one run?
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
fn sql_stands_in_the_store_and_the_queue_only() {
    for file in rust_files(&["src", "jobs", "crates/twilio"]) {
        let mut parts = file.components().map(Component::as_os_str);
        if parts.any(|part| part == "tests" || part == "tests.rs") {
            continue; // tests look at rows as they like
        }
        let source = fs::read_to_string(&file).unwrap();
        assert!(!holds_sql(&source), "{} holds SQL", file.display());
    }
    assert!(holds_sql("sqlx::query!(\"\n  SELECT 1\")"));
    assert!(holds_sql("let text = r#\"insert into t\"#;"));
}

#[test]
fn files_are_short_enough_to_read() {
    let crates =
        ["queue", "store", "twilio", "embedded_postgres"].map(|name| format!("crates/{name}/src"));
    let mut folders: Vec<&str> = crates.iter().map(String::as_str).collect();
    folders.extend(["src", "jobs/src"]);
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
