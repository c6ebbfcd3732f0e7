//! Tests that the documentation names as the proof of a promise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::root;

/// A source file, with the module path that its tests have.
struct SourceFile {
    modules: Vec<String>,
    text: String,
}

/// The Rust files of a folder, with their module paths below it.
fn source_files(folder: &Path) -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(folder).unwrap().with_extension("");
            let modules = below
                .iter()
                .map(|part| part.to_str().unwrap().to_owned())
                .filter(|part| !["mod", "main", "lib"].contains(&part.as_str()))
                .collect();
            let text = fs::read_to_string(&path).unwrap();
            files.push(SourceFile { modules, text });
        }
    }
    files
}

/// The files in which the tests of a part of a table's cell are.
fn files_of(scope: &str) -> Vec<SourceFile> {
    match scope {
        "" => source_files(&root().join("tests/it")),
        "unit" => ["src", "jobs/src", "crates"]
            .iter()
            .flat_map(|folder| source_files(&root().join(folder)))
            .collect(),
        name => {
            let tests = match name {
                "jobs" => root().join("jobs/tests"),
                name => root().join("crates").join(name).join("tests"),
            };
            source_files(&tests)
        }
    }
}

/// Is there a test, or a module with tests, of this name?
fn exists(files: &[SourceFile], name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let (last, modules) = parts.split_last().unwrap();
    files.iter().any(|file| {
        let own: Vec<&str> = file.modules.iter().map(String::as_str).collect();
        let is_module = own.windows(parts.len()).any(|window| window == parts);
        let holds_test = own.ends_with(modules) && file.text.contains(&format!("fn {last}("));
        // A module inside the file, such as `tests`.
        let holds_inner = modules.split_last().is_some_and(|(inner, outer)| {
            own.ends_with(outer)
                && file.text.contains(&format!("mod {inner} {{"))
                && file.text.contains(&format!("fn {last}("))
        });
        is_module || holds_test || holds_inner
    })
}

/// The tests that a cell names: parts are separated by semicolons, and each may begin with a crate
/// or `unit`.
fn tests_in(cell: &str) -> Vec<(String, String)> {
    let mut tests = Vec::new();
    for part in cell.split(';') {
        let (scope, names) = match part.split_once(": ") {
            Some((scope, names)) => (scope.trim().trim_matches('`'), names),
            None => ("", part),
        };
        if scope == "the lint" {
            continue;
        }
        let names = names.split('`').skip(1).step_by(2);
        let names = names.filter(|name| !name.contains('/'));
        tests.extend(names.map(|name| (scope.to_owned(), name.to_owned())));
    }
    tests
}

/// The last cells of the rows of all tables whose header ends with the column "tests".
fn cells(text: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let last = line
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or("");
        if !line.starts_with('|') {
            in_table = false;
        } else if last == "tests" {
            in_table = true;
        } else if in_table && !line.starts_with("|--") && !line.starts_with("| --") {
            cells.push(last);
        }
    }
    cells
}

#[test]
fn every_test_that_the_tables_of_invariants_and_threats_name_exists() {
    for (document, least) in [("docs/ARCHITECTURE.md", 60), ("SECURITY.md", 20)] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let tests: Vec<_> = cells(&text).into_iter().flat_map(tests_in).collect();
        assert!(
            tests.len() >= least,
            "{document} names {} tests",
            tests.len()
        );
        let missing: Vec<_> = tests
            .iter()
            .filter(|(scope, name)| !exists(&files_of(scope), name))
            .collect();
        assert!(missing.is_empty(), "{document}: {missing:#?}");
    }
}

#[test]
fn every_test_that_the_guarantees_of_the_queue_name_exists() {
    let text = fs::read_to_string(root().join("docs/queue-guarantees.md")).unwrap();
    let names = text.split('`').skip(1).step_by(2);
    let (mut tests, mut missing) = (0, Vec::new());
    for (file, test) in names.filter_map(|name| name.split_once(".rs::")) {
        let path = root().join(format!("{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_default();
        if !source.contains(&format!("fn {test}(")) {
            missing.push((file, test));
        }
        tests += 1;
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(tests > 80, "{tests} tests");
}

/// The items of all lists of a text, each with its continued lines.
fn list_items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut in_item = false;
    for line in text.lines() {
        if let Some(first) = line.trim_start().strip_prefix("- ") {
            items.push(first.to_owned());
            in_item = true;
        } else if in_item && line.starts_with("  ") {
            let item = items.last_mut().unwrap();
            *item = format!("{item} {}", line.trim());
        } else {
            in_item = false;
        }
    }
    items
}

/// The tests that the brackets of a sentence name.
fn tests_in_brackets(item: &str) -> Vec<(String, String)> {
    let parts = item.split('(').skip(1);
    let brackets = parts.filter_map(|part| Some(part.split_once(')')?.0));
    let brackets = brackets.filter(|text| text.starts_with('`') || text.starts_with("unit: "));
    brackets.flat_map(tests_in).collect()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let promises = text
        .split("\n## ")
        .find(|part| part.starts_with("Promises"));
    let items = list_items(promises.unwrap());
    assert!(items.len() > 25, "{} promises", items.len());
    let bad = |item: &&String| {
        let tests = tests_in_brackets(item);
        tests.is_empty()
            || tests
                .iter()
                .any(|(scope, name)| !exists(&files_of(scope), name))
    };
    let bad: Vec<_> = items.iter().filter(bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_cell_names_tests_of_crates_and_units() {
    let named = tests_in("`a`, `b::c`; `queue`: `d`; unit: `e::tests::f`; the lint: `clippy.toml`");
    let named: Vec<_> = named
        .iter()
        .map(|(scope, name)| (scope.as_str(), name.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("", "a"),
            ("", "b::c"),
            ("queue", "d"),
            ("unit", "e::tests::f")
        ]
    );
    assert_eq!(
        cells("| a | tests |\n|---|---|\n| x | `y` |\n\n| a | b |"),
        ["`y`"]
    );
}
