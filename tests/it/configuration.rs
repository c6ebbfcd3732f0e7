//! Mistakes in the settings are reported at once, and the documentation of the settings is correct.

use std::{fmt::Write, fs, path::Path};

use pigeonhole::config::VARIABLES;

use crate::{
    process::run,
    settings::{ProgramSettings, test_run_variable},
};

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

/// Compares a generated file with the code. With `UPDATE_DOCS=1`, writes the file.
fn assert_generated(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if test_run_variable("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{file} differs from src/config/variables.rs: run \
         `UPDATE_DOCS=1 cargo test --test it configuration`"
    );
}

#[test]
fn the_example_file_lists_every_setting_with_its_default_and_meaning() {
    let mut expected = "\
# Every setting of Pigeonhole, with its default where it has one. Copy this file to `.env` and fill in
# what you need. The environment wins over `.env`, and a flag wins over both.
"
    .to_owned();
    for variable in VARIABLES {
        let (name, help) = (variable.name, variable.help);
        let value = match variable.default {
            Some(default) => default.to_owned(),
            None => format!("  # {}", variable.value),
        };
        writeln!(expected, "\n# {help}.\n# {name}={value}").unwrap();
    }
    assert_generated(".env.example", &expected);
}

#[test]
fn the_page_about_the_configuration_lists_every_setting_with_its_default_and_meaning() {
    let mut expected = "\
# Configuration

<!-- A test makes this page from src/config/variables.rs:
UPDATE_DOCS=1 cargo test --test it configuration -->

Every setting is an environment variable. `pigeonhole` also reads a file `.env` in the current
folder or one above it. A setting that is not a secret has a flag, too: `DATABASE_POOL_MAX` is
`--database-pool-max`. A flag wins over the environment, the environment over `.env`, and `.env`
over the default. An empty value counts as not set.

All mistakes in the settings are reported together, by name, before anything starts.
`pigeonhole doctor` checks the settings against the database and Twilio.
[`.env.example`](../.env.example) lists the same settings as a file to fill in.
"
    .to_owned();
    for section in VARIABLES.chunk_by(|one, next| one.section == next.section) {
        writeln!(expected, "\n## {}\n", section[0].section).unwrap();
        expected.push_str("| setting | value | default | meaning |\n|---|---|---|---|\n");
        for variable in section {
            let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
            let value = code(variable.value);
            let default = variable.default.map(code).unwrap_or_default();
            let secret = if variable.secret { " (secret)" } else { "" };
            writeln!(
                expected,
                "| `{}`{secret} | {value} | {default} | {} |",
                variable.name, variable.help
            )
            .unwrap();
        }
    }
    assert_generated("docs/configuration.md", &expected);
}

#[test]
fn no_setting_and_no_section_is_listed_twice() {
    let mut names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), VARIABLES.len());
    let sections = VARIABLES.chunk_by(|one, next| one.section == next.section);
    let mut sections: Vec<_> = sections.map(|section| section[0].section).collect();
    let count = sections.len();
    sections.sort_unstable();
    sections.dedup();
    assert_eq!(sections.len(), count);
}
