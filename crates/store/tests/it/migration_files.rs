//! The rules of `migrations/README.md` for the files.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use store::functions;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// The names of the SQL files in a folder of the migrations, sorted.
fn sql_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_sql = |name: &String| Path::new(name).extension().is_some_and(|end| end == "sql");
    let mut names: Vec<String> = names.filter(is_sql).collect();
    names.sort();
    names
}

#[test]
fn a_released_file_never_changes_and_every_file_has_its_checksum() {
    let folder = folder();
    let migrations = sql_files(&folder);
    let functions = sql_files(&folder.join("functions"));
    let functions = functions.iter().map(|name| format!("functions/{name}"));
    let mut expected = String::new();
    for name in migrations.into_iter().chain(functions) {
        let digest = Sha256::digest(fs::read(folder.join(&name)).unwrap());
        for byte in digest {
            write!(expected, "{byte:02x}").unwrap();
        }
        writeln!(expected, "  {name}").unwrap();
    }
    let pinned = fs::read_to_string(folder.join("checksums.txt")).unwrap();
    let pinned: String = pinned
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |all, line| all + line + "\n");
    assert!(
        pinned == expected,
        "A migration that was released must not change: make a new one. A function that changes gets a \
         new revision: see migrations/README.md. For a new file or a new revision, checksums.txt has \
         to be:\n{expected}"
    );
}

#[test]
fn the_numbers_of_the_migrations_have_no_gap() {
    for (number, name) in (1..).zip(sql_files(&folder())) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name}");
    }
}

#[test]
fn every_function_file_is_embedded_and_the_planner_settings_come_last() {
    let files = sql_files(&folder().join("functions"));
    let functions = functions();
    let mut embedded: Vec<String> = functions
        .iter()
        .map(|f| format!("{}.sql", f.name))
        .collect();
    assert_eq!(
        embedded.last().map(String::as_str),
        Some("planner_settings.sql")
    );
    embedded.sort();
    assert_eq!(embedded, files);
}

#[test]
fn every_function_file_has_its_function_and_a_header() {
    for function in functions() {
        let (name, sql) = (&function.name, &function.sql);
        let header: Vec<&str> = sql
            .lines()
            .take_while(|line| line.starts_with("--"))
            .collect();
        for line in [
            "-- Revision: ",
            "-- Called by: ",
            "-- Locks: ",
            "-- Returns: ",
        ] {
            let has = header.iter().any(|header| header.starts_with(line));
            assert!(has, "{name} has no line `{line}`");
        }
        assert!(function.revision > 0, "{name}");
        if *name == "planner_settings" {
            continue;
        }
        let statements: Vec<&str> = sql
            .lines()
            .filter_map(|line| line.strip_prefix("create or replace function "))
            .collect();
        let [created] = statements[..] else {
            panic!("{name} creates {} functions", statements.len());
        };
        assert!(
            created.starts_with(&format!("{name}(")),
            "{name}: {created}"
        );
        assert!(
            !sql.contains("set enable_"),
            "{name}: planner_settings.sql has the settings"
        );
    }
}

#[test]
fn lines_have_at_most_100_columns() {
    for folder in [folder(), folder().join("functions")] {
        for name in sql_files(&folder) {
            for line in fs::read_to_string(folder.join(&name)).unwrap().lines() {
                assert!(line.chars().count() <= 100, "{name}: {line}");
            }
        }
    }
}
