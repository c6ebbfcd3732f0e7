//! Mistakes in the settings are reported at once, and the documentation of the settings is correct.

use std::{fs, path::Path};

use pigeonhole::config::VARIABLES;

use crate::{process::run, settings::ProgramSettings};

#[tokio::test]
async fn without_any_setting_every_missing_setting_is_named_and_nothing_starts() {
    for (subcommand, missing) in [
        (
            "receiver",
            ["PUBLIC_BASE_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"].as_slice(),
        ),
        ("worker", &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]),
        (
            "serve",
            &["PUBLIC_BASE_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"],
        ),
    ] {
        let ran = run(&[subcommand], &ProgramSettings::none()).await;
        assert_eq!(ran.code, Some(1), "{subcommand}");
        assert_eq!(ran.stdout, "");
        for name in missing.iter().chain(&["DATABASE_URL", "ENCRYPTION_KEY"]) {
            let line = format!("\n  {name} is not set");
            assert!(ran.stderr.contains(&line), "{name}: {}", ran.stderr);
        }
        let count = format!("{} mistakes", missing.len() + 2);
        assert!(ran.stderr.contains(&count), "{}", ran.stderr);
        for started in ["listens", "worker runs"] {
            assert!(!ran.stderr.contains(started), "{}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let settings = ProgramSettings::random("postgres://nobody@127.0.0.1:1/none");
    for name in ["LISTEN_ADDR", "ADMIN_ADDR"] {
        let ran = run(&["receiver"], &settings.clone().with(name, &addr)).await;
        assert_eq!(ran.code, Some(1));
        let last = ran.stderr.lines().last().unwrap();
        assert!(last.contains(name) && last.contains(&addr), "{last}");
    }
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_file_names_every_setting_and_no_other() {
    let text = read(".env.example");
    let named: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .collect();
    let known: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(named, known);
}

/// The table's rows look like: | `NAME` | `default` | help |
#[test]
fn the_readmes_table_lists_every_setting_with_its_default_and_meaning_and_no_other() {
    let text = read("README.md");
    let rows: Vec<[&str; 3]> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .filter_map(|row| {
            let (name, rest) = row.split_once("` | ")?;
            let (default, help) = rest.split_once(" | ").or_else(|| rest.split_once("| "))?;
            Some([name, default.trim(), help.trim().trim_end_matches('.')])
        })
        .filter(|[name, ..]| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .collect();
    let named: Vec<_> = rows.iter().map(|[name, ..]| *name).collect();
    let known: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(named, known);
    for ([name, default, help], variable) in rows.iter().zip(VARIABLES) {
        match variable.default {
            Some(expected) => assert_eq!(
                *default,
                format!("`{}`", expected.replace('|', "\\|")),
                "{name}"
            ),
            None => assert!(
                !default.contains('`'),
                "{name} has no default, not {default}"
            ),
        }
        assert_eq!(*help, variable.help, "{name}");
    }
}
