//! `messages replay`: stored messages are processed again with today's rules.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{command, json};
use crate::{
    database::{NUMBER, UNLINKED_NUMBER},
    replies::ReplyHarness,
};

/// Each item of the message: id, value, accepted.
async fn items(harness: &ReplyHarness, sid: &str) -> Vec<(Uuid, String, bool)> {
    sqlx::query_as(
        "select id, value, accepted from enrichment_items where source_metadata ->> 'message_sid' = $1
         order by item_type, value",
    )
    .bind(sid)
    .fetch_all(&harness.app.pool)
    .await
    .unwrap()
}

async fn change(harness: &ReplyHarness, statement: &'static str) {
    let done = sqlx::query(statement)
        .execute(&harness.app.pool)
        .await
        .unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
}

fn what(report: &Value) -> Vec<&str> {
    let changes = report["messages"][0]["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|change| change["what"].as_str().unwrap())
        .collect()
}

/// A message with items of older rules: one tag is missing, one item matches no rule today, one
/// accepted tag is spelt differently, and one item is unchanged.
async fn as_of_yesterday(harness: &ReplyHarness) -> String {
    let sid = harness.process(NUMBER, "Met Ana #one #two #three").await;
    change(
        harness,
        "update enrichment_items set value = 'Met' where field_name = 'customNotes'",
    )
    .await;
    change(
        harness,
        "update enrichment_items set accepted = true where value = 'one'",
    )
    .await;
    change(
        harness,
        "delete from enrichment_items where value = 'three'",
    )
    .await;
    sid
}

#[tokio::test]
async fn a_dry_run_lists_the_changes_and_makes_none() {
    let harness = ReplyHarness::start().await;
    let sid = as_of_yesterday(&harness).await;
    let before = (
        items(&harness, &sid).await,
        json(&harness, &["show", &sid]).await,
    );
    let report = json(&harness, &["replay", &sid, "--dry-run"]).await;
    assert_eq!(what(&report), ["changed", "added"]);
    let message = &report["messages"][0];
    assert_eq!(
        (&message["reviewed"], &message["unchanged"]),
        (&1.into(), &1.into())
    );
    assert_eq!(message["changes"][0]["field_name"], "customNotes");
    assert_eq!(message["changes"][0]["length_before"], 3);
    assert_eq!(message["changes"][0]["length_now"], 24);

    let text = command(&harness, &["replay", &sid, "--dry-run"]).await;
    assert!(text.stdout.contains("Nothing was changed"), "{text:?}");
    for secret in ["Ana", "three", "2025550123"] {
        assert!(!text.stdout.contains(secret), "{text:?}");
    }
    let after = (
        items(&harness, &sid).await,
        json(&harness, &["show", &sid]).await,
    );
    assert_eq!(before.0, after.0);
    assert_eq!(before.1["replayed_at"], after.1["replayed_at"]);
}

#[tokio::test]
async fn a_replay_replaces_unreviewed_items_and_keeps_the_others() {
    let harness = ReplyHarness::start().await;
    let sid = as_of_yesterday(&harness).await;
    let sent = harness.api.requests().create;
    let before = items(&harness, &sid).await;
    let report = json(&harness, &["replay", &sid]).await;
    assert_eq!(what(&report), ["changed", "added"]);
    let after = items(&harness, &sid).await;
    let values: Vec<&str> = after.iter().map(|(_, value, _)| value.as_str()).collect();
    assert_eq!(values, ["Met Ana #one #two #three", "one", "three", "two"]);
    // An unchanged item keeps its row. A replaced item gets a new id, so that no user accepts a
    // value that they have not seen.
    for (id, value, accepted) in &before {
        let same = after.contains(&(*id, value.clone(), *accepted));
        assert_eq!(same, value != "Met", "{value}");
        assert_eq!(after.iter().any(|(it, ..)| it == id), value != "Met");
    }
    let shown = json(&harness, &["show", &sid]).await;
    assert!(shown["replayed_at"].is_string());
    assert_eq!(shown["items"], 4);

    // A second replay finds nothing to do, and sends no reply.
    let again = json(&harness, &["replay", &sid]).await;
    assert_eq!(what(&again), Vec::<&str>::new());
    assert_eq!(items(&harness, &sid).await, after);
    harness.queue.drain().await;
    assert_eq!(harness.api.requests().create, sent);
}

#[tokio::test]
async fn rejected_and_applied_items_are_neither_changed_nor_proposed_again() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(NUMBER, "Met Ana #one #two").await;
    change(
        &harness,
        "update enrichment_items set applied = true where value = 'one'",
    )
    .await;
    change(
        &harness,
        "update enrichment_items set accepted = true, applied = true where value = 'two'",
    )
    .await;
    let before = items(&harness, &sid).await;
    let report = json(&harness, &["replay", &sid]).await;
    assert_eq!(report["messages"][0]["reviewed"], 2);
    assert_eq!(items(&harness, &sid).await, before);
}

#[tokio::test]
async fn messages_that_cannot_be_replayed_are_refused_by_name_and_the_others_are_replayed() {
    let harness = ReplyHarness::start().await;
    let fine = harness.process(NUMBER, "Met Ana").await;
    let erased = harness.process(NUMBER, "Met Bo").await;
    sqlx::query("update pigeonhole.inbound_messages set sealed = null where message_sid = $1")
        .bind(&erased)
        .execute(&harness.app.pool)
        .await
        .unwrap();
    let unlinked = harness.process(UNLINKED_NUMBER, "Hello").await;
    let keyword = harness.process(NUMBER, "HELP").await;
    let waiting = harness.app.deliver("Met Cy").await;
    harness.app.leaves.live("process_message", 1);
    let missing = format!("SM{}", crate::settings::hex());
    let ran = command(
        &harness,
        &[
            "replay", &fine, &erased, &unlinked, &keyword, &waiting, &missing,
        ],
    )
    .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for (sid, words) in [
        (&fine, "by rules: 0 items differ"),
        (&erased, "erased: MESSAGE_RETENTION_DAYS"),
        (&unlinked, "no user had linked its number"),
        (&keyword, "it is a keyword"),
        (&waiting, "not been processed yet"),
        (&missing, "there is no such message"),
    ] {
        let line = ran
            .stdout
            .lines()
            .find(|line| line.starts_with(sid.as_str()));
        assert!(
            line.is_some_and(|line| line.contains(words)),
            "{words}: {}",
            ran.stdout
        );
    }
    assert!(
        ran.stderr
            .contains("5 of 6 messages were not processed again"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_message_whose_number_changed_its_user_is_not_replayed() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(NUMBER, "Met Ana").await;
    let mut conn = harness.app.pool.acquire().await.unwrap();
    let number = store::E164::parse(NUMBER).unwrap();
    let other = Uuid::new_v4();
    store::users::ensure(&mut conn, other).await.unwrap();
    store::user_phone_numbers::prove(&mut conn, &harness.app.settings.keyring(), other, &number)
        .await
        .unwrap();
    let ran = command(&harness, &["replay", &sid]).await;
    assert!(ran.stdout.contains("not its user's any more"), "{ran:?}");
}

#[tokio::test]
async fn an_ignored_or_rate_limited_message_can_be_replayed_later() {
    let harness =
        ReplyHarness::with(|database| database.with("SMS_ENRICHMENT_ENABLED", "false")).await;
    let sid = harness.process(NUMBER, "Met Ana #one").await;
    assert_eq!(
        harness.app.state(&sid).await.as_deref(),
        Some("ignored_disabled")
    );
    let report = json(&harness, &["replay", &sid]).await;
    assert_eq!(what(&report), ["added", "added"]);
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    assert_eq!(items(&harness, &sid).await.len(), 2);
    harness.advance(Duration::from_secs(1)).await;
    harness.queue.assert_empty().await;
}
