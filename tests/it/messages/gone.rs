//! What remains of old messages and of a deleted user.

use std::time::Duration;

use crate::{
    database::{NUMBER, UNLINKED_NUMBER},
    replies::ReplyHarness,
};

async fn erase(harness: &ReplyHarness) {
    let mut conn = harness.app.pool.acquire().await.unwrap();
    queue::enqueue(&mut conn, &jobs::CleanupMessageBodies {})
        .await
        .unwrap();
    drop(conn);
    harness.queue.drain().await;
}

async fn sealed(harness: &ReplyHarness) -> Vec<String> {
    sqlx::query_scalar(
        "select message_sid from pigeonhole.inbound_messages where sealed is not null order by received_at",
    )
    .fetch_all(&harness.app.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_body_of_an_old_ended_message_is_erased_and_its_row_and_items_stay() {
    let harness = ReplyHarness::with(|database| database.with("MESSAGE_RETENTION_DAYS", "2")).await;
    let old = harness.process(NUMBER, "Met Ana").await;
    harness.advance(Duration::from_hours(47)).await;
    let young = harness.process(NUMBER, "Met Bo").await;
    erase(&harness).await;
    assert_eq!(sealed(&harness).await, [old.clone(), young.clone()]);
    harness.advance(Duration::from_hours(2)).await;
    erase(&harness).await;
    assert_eq!(sealed(&harness).await, [young]);
    assert_eq!(harness.app.values(&old).await, ["Met Ana"]);
    assert_eq!(harness.app.rows().await.messages, 2);
}

#[tokio::test]
async fn a_message_that_has_not_ended_keeps_its_body_at_any_age() {
    let harness = ReplyHarness::with(|database| database.with("MESSAGE_RETENTION_DAYS", "0")).await;
    let ended = harness.process(UNLINKED_NUMBER, "Hello").await;
    let waiting = harness.app.deliver("Met Ana").await;
    harness.app.leaves.live("process_message", 1);
    harness.advance(Duration::from_hours(24 * 30)).await;
    let mut conn = harness.app.pool.acquire().await.unwrap();
    store::inbound_messages::cleanup::erase_bodies(&mut conn, Duration::ZERO, 1000)
        .await
        .unwrap();
    assert_eq!(sealed(&harness).await, [waiting]);
    assert_eq!(
        harness.app.state(&ended).await.as_deref(),
        Some("ignored_unlinked")
    );
}

/// The rows that name the user, by table, in all tables that have a column for the user.
async fn rows_of_user(harness: &ReplyHarness) -> Vec<(String, i64)> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select table_schema || '.' || table_name, column_name::text from information_schema.columns
         where column_name = 'user_id' or (table_name, column_name) = ('users', 'id') order by 1",
    )
    .fetch_all(&harness.app.pool)
    .await
    .unwrap();
    let mut rows = Vec::new();
    for (table, column) in tables {
        let statement = format!("select count(*) from {table} where {column} = $1");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(harness.app.user)
            .fetch_one(&harness.app.pool)
            .await
            .unwrap();
        rows.push((table, count));
    }
    rows
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_user() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(NUMBER, "Met Ana #rust").await;
    harness.process(NUMBER, "HELP").await;
    let waiting = harness.app.deliver("Met Bo").await;
    let before = rows_of_user(&harness).await;
    for table in [
        "public.enrichment_items",
        "public.user_phone_numbers",
        "pigeonhole.inbound_messages",
        "pigeonhole.sends",
    ] {
        let rows = before.iter().find(|(name, _)| name == table);
        assert!(
            rows.is_some_and(|(_, count)| *count > 0),
            "{table}: {before:?}"
        );
    }
    sqlx::query("delete from users where id = $1")
        .bind(harness.app.user)
        .execute(&harness.app.pool)
        .await
        .unwrap();
    let after = rows_of_user(&harness).await;
    assert!(after.iter().all(|(_, count)| *count == 0), "{after:?}");
    assert_eq!(harness.app.state(&sid).await, None);

    let limits = async || -> i64 {
        sqlx::query_scalar("select count(*) from queue.rate_limits where strpos(key, $1::text) > 0")
            .bind(harness.app.user.to_string())
            .fetch_one(&harness.app.pool)
            .await
            .unwrap()
    };
    assert_eq!(limits().await, 1);
    erase(&harness).await;
    assert_eq!(limits().await, 0);

    // The waiting message belongs to no user now, and its body is erased like other old bodies.
    harness.queue.drain().await;
    assert_eq!(
        harness.app.state(&waiting).await.as_deref(),
        Some("ignored_unlinked")
    );
    harness.advance(Duration::from_hours(24 * 8)).await;
    erase(&harness).await;
    assert_eq!(sealed(&harness).await, Vec::<String>::new());
}
