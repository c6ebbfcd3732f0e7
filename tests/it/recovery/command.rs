//! `pigeonhole recover`.

use std::time::Duration;

use serde_json::Value;

use super::RecoveryHarness;
use crate::process::run;

const LATE: Duration = Duration::from_hours(5);

async fn report(arguments: &[&str], harness: &RecoveryHarness) -> Value {
    let mut all = vec!["recover", "--json"];
    all.extend(arguments);
    let output = run(&all, &harness.app.settings).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_dry_run_shows_what_is_missing_and_changes_nothing() {
    let harness = RecoveryHarness::start().await;
    let sid = harness.lose("Met Ana", Duration::from_mins(10)).await;
    let marks = "select count(*) from pigeonhole.recovery_watermarks
                 where looked_until > now() - interval '1 hour'";
    assert_eq!(harness.count(marks).await, 0);
    for _ in 0..2 {
        let report = report(&["--dry-run"], &harness).await;
        assert_eq!(report["dry_run"], true);
        assert_eq!(report["messages"][0]["message_sid"], sid);
        assert_eq!(report["messages"][0]["state"], "missing");
        assert_eq!(report["messages"][0]["error_code"], 11200);
        assert_eq!(report["messages"].as_array().unwrap().len(), 1);
    }
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.jobs), (0, 0));
    assert_eq!(harness.count(marks).await, 0);
}

#[tokio::test]
async fn the_command_recovers_what_is_missing_also_from_before_the_first_look_if_it_is_asked_to() {
    let harness = RecoveryHarness::start().await;
    let early = harness.lose("Met Ana", LATE).await;
    let late = harness.lose("Met Bo", Duration::from_mins(10)).await;
    let first = report(&[], &harness).await;
    assert_eq!(first["messages"].as_array().unwrap().len(), 1);
    assert_eq!(first["messages"][0]["message_sid"], late);
    assert_eq!(first["messages"][0]["state"], "recovered from alert");
    let second = report(&["--since", "24h"], &harness).await;
    assert_eq!(second["messages"][0]["message_sid"], early);
    let third = report(&["--since", "24h"], &harness).await;
    assert!(third["messages"].as_array().unwrap().is_empty());
    harness.queue.drain().await;
    assert_eq!(harness.app.rows().await.messages, 2);
}

#[tokio::test]
async fn the_text_of_the_command_shows_no_number_and_no_text() {
    let harness = RecoveryHarness::start().await;
    let sid = harness.lose("Met Ana", Duration::from_mins(10)).await;
    let output = run(&["recover"], &harness.app.settings).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains(&sid), "{}", output.stdout);
    for all in [&output.stdout, &output.stderr] {
        for hidden in ["202555", "500555", "Ana"] {
            assert!(!all.contains(hidden), "{all}");
        }
    }
    let nothing = run(&["recover"], &harness.app.settings).await;
    assert!(
        nothing.stdout.contains("No message is missing"),
        "{}",
        nothing.stdout
    );
    harness.queue.drain().await;
}

#[tokio::test]
async fn where_recovery_is_off_or_twilio_refuses_us_the_command_fails_and_says_why() {
    let harness = RecoveryHarness::start().await;
    let off = harness.app.settings.clone().with("RECOVERY", "off");
    let output = run(&["recover"], &off).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("RECOVERY"), "{}", output.stderr);
    let wrong = harness.app.settings.clone();
    let wrong = wrong.with("TWILIO_AUTH_TOKEN", crate::settings::hex());
    let output = run(&["recover"], &wrong).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("credentials"), "{}", output.stderr);
}
