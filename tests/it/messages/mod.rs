//! `pigeonhole messages`: the history of a message, replays, and what remains of old messages and
//! deleted users.

mod gone;
mod replay;

use serde_json::Value;
use std::time::Duration;

use crate::{
    database::{NUMBER, UNLINKED_NUMBER},
    process::{CommandOutput, run},
    replies::ReplyHarness,
};

async fn json(harness: &ReplyHarness, arguments: &[&str]) -> Value {
    let arguments = [&["messages"], arguments, &["--json"]].concat();
    let ran = run(&arguments, &harness.app.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

async fn command(harness: &ReplyHarness, arguments: &[&str]) -> CommandOutput {
    run(&[&["messages"], arguments].concat(), &harness.app.settings).await
}

#[tokio::test]
async fn the_history_of_a_message_is_shown_step_by_step_without_its_body() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(NUMBER, "Met Ana Berg #rust").await;
    let shown = json(&harness, &["show", &sid]).await;
    assert_eq!(shown["message_sid"], sid);
    assert_eq!(shown["state"], "processed");
    for step in ["received_at", "opened_at", "reserved_for", "finished_at"] {
        assert!(shown[step].is_string(), "{step}: {shown}");
    }
    assert_eq!(
        (&shown["extracted_by"], &shown["items"]),
        (&"rules".into(), &2.into())
    );
    assert_eq!(shown["reply"]["kind"], "processed");
    assert_eq!(shown["review"]["pending"], 2);
    assert_eq!(shown["user_id"], harness.app.user.to_string());

    let text = command(&harness, &["show", &sid]).await;
    assert_eq!(text.code, Some(0), "{text:?}");
    for line in [
        "state        processed",
        "rate limit   not delayed",
        "media        none",
        "extraction   by rules",
        "items        2 found; now 2 pending, 0 accepted, 0 rejected",
        "reply        processed, ",
        "text         sealed",
    ] {
        assert!(
            text.stdout.contains(line),
            "{line} is not in\n{}",
            text.stdout
        );
    }
    for secret in ["Ana", "rust", "2025550123"] {
        assert!(!text.stdout.contains(secret), "{}", text.stdout);
    }
}

#[tokio::test]
async fn messages_are_listed_by_state_user_and_time() {
    let harness = ReplyHarness::start().await;
    let old = harness.process(NUMBER, "Met Ana").await;
    harness.advance(Duration::from_hours(2)).await;
    let unlinked = harness.process(UNLINKED_NUMBER, "Hello").await;
    let waiting = harness.app.deliver("Met Bo").await;
    harness.app.leaves.live("process_message", 1);
    let sids = async |arguments: &[&str]| -> Vec<String> {
        let listed = json(&harness, &[&["list"], arguments].concat()).await;
        let messages = listed["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|message| message["message_sid"].as_str().unwrap().to_owned())
            .collect()
    };
    let of = |list: &[&String]| list.iter().map(|sid| (*sid).clone()).collect::<Vec<_>>();
    assert_eq!(sids(&[]).await, of(&[&waiting, &unlinked, &old]));
    assert_eq!(sids(&["--since", "1h"]).await, of(&[&waiting, &unlinked]));
    assert_eq!(sids(&["--state", "processed"]).await, of(&[&old]));
    assert_eq!(sids(&["--state", "received"]).await, of(&[&waiting]));
    assert_eq!(
        sids(&["--user", &harness.app.user.to_string()]).await,
        of(&[&old])
    );
    assert_eq!(sids(&["--limit", "1"]).await, of(&[&waiting]));
    let text = command(&harness, &["list"]).await;
    assert!(text.stdout.contains("ignored_unlinked"), "{}", text.stdout);
    assert!(!text.stdout.contains("2025550"), "{}", text.stdout);
}

#[tokio::test]
async fn an_unknown_message_is_an_error() {
    let harness = ReplyHarness::start().await;
    let sid = format!("SM{}", crate::settings::hex());
    let ran = command(&harness, &["show", &sid]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no message"), "{ran:?}");
    let ran = command(&harness, &["show", "SM1"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
}
