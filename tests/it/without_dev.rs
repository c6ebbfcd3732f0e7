//! The program without the feature `dev`: what only developers need is absent, and says so.

use std::fs;

use crate::{commands::assert_fails, process::run, settings::ProgramSettings};

#[tokio::test]
async fn dev_and_simulate_explain_how_to_get_them() {
    for arguments in [
        &["dev"][..],
        &["dev", "--once", "--data-dir", "/nowhere"],
        &["dev", "--help"],
        &["simulate", "--body", "Hello"],
    ] {
        let ran = run(arguments, &ProgramSettings::none()).await;
        assert_fails(&ran, 1, "run script/dev");
        assert!(ran.stderr.contains("--features dev"), "{}", ran.stderr);
    }
    let help = run(&["--help"], &ProgramSettings::none()).await;
    assert_eq!(help.code, Some(0));
    for hidden in ["dev", "simulate"] {
        let listed = |line: &str| line.split_whitespace().next() == Some(hidden);
        assert!(!help.stdout.lines().any(listed), "{}", help.stdout);
    }
}

#[test]
fn the_program_holds_no_embedded_postgres_no_simulated_twilio_and_no_demo_page() {
    let program = fs::read(env!("CARGO_BIN_EXE_pigeonhole")).unwrap();
    let program = String::from_utf8_lossy(&program);
    let holds = |text: &str| program.contains(text);
    for text in [
        "initdb",
        "simulated Twilio",
        "Pigeonhole demo",
        "/demo/sign-in",
    ] {
        assert!(!holds(text), "the program holds {text:?}");
    }
    assert!(holds("/api/sms/webhook"), "the search finds what is there");
}
