//! What the page must never show, and that it shows hostile text as text.

use super::{insert_dead_letter, page};
use crate::{
    app::{TestApp, text},
    database::{NUMBER, UNLINKED_NUMBER},
    process::run,
};

#[tokio::test]
async fn a_hostile_error_is_shown_as_text() {
    let app = TestApp::receiver_only().await;
    let admin = app.admin();
    let hostile = r#"</bdi><script>alert(1)</script><img src=x onerror="alert(2)"> & "quoted""#;
    let args = serde_json::json!({ "message": hostile }).to_string();
    insert_dead_letter(&app, 66, "<b>kind</b>", &args, hostile).await;
    app.leaves.dead("<b>kind</b>", 1);
    sqlx::query("insert into queue.paused (kind, reason) values ('<i>kind', $1)")
        .bind(hostile)
        .execute(&app.pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into queue.workers (name, started_at, kinds, concurrency, held)
         values ($1, now(), array[$1], 1, 0)",
    )
    .bind(hostile)
    .execute(&app.pool)
    .await
    .unwrap();
    for path in [
        "/",
        "/dead",
        "/jobs/66",
        "/dead?kind=%3Cscript%3E",
        "/?flash=%3Cscript%3E-1",
    ] {
        let page = page(admin, path).await;
        for tag in ["<script", "<img", "<b>", "<i>", "onerror=\"alert"] {
            assert!(!page.contains(tag), "{path}: {page}");
        }
    }
    assert!(page(admin, "/jobs/66").await.contains("&lt;script&gt;"));
}

#[tokio::test]
async fn no_page_shows_a_number_a_message_text_or_a_lane() {
    let app = TestApp::start().await;
    let admin = app.admin();
    // Postgres quotes the row in its error, including the message's text.
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$
             begin raise exception 'refused: % %', new.value, new.source_metadata; end $$;
         create trigger refuse before insert on enrichment_items for each row execute function refuse()",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let mut sids = Vec::new();
    for (from, body) in [
        (NUMBER, "Met Zebedee #marmalade"),
        (UNLINKED_NUMBER, "Zebedee again"),
    ] {
        sids.push(app.deliver_text(&text(from, body)).await);
    }
    app.drain().await;
    let id: i64 = sqlx::query_scalar("select id from queue.jobs where errors is not null")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let mut pages = vec![
        page(admin, "/").await,
        page(admin, &format!("/jobs/{id}")).await,
    ];
    assert!(pages[1].contains("error 1"), "{}", pages[1]);
    let discard = ["jobs", "discard", "--force", &id.to_string()];
    assert_eq!(run(&discard, &app.settings).await.code, Some(0));
    app.leaves.dead("process_message", 1);
    app.drain().await;
    for path in ["/", "/dead", &format!("/jobs/{id}"), "/messages"] {
        pages.push(page(admin, path).await);
    }
    for sid in &sids {
        pages.push(page(admin, &format!("/messages?sid={sid}")).await);
    }
    let lane: String = sqlx::query_scalar("select lane from queue.dead_jobs where id = $1")
        .bind(id)
        .fetch_one(&app.pool)
        .await
        .unwrap();
    for page in pages {
        for secret in [
            &NUMBER[2..],
            &UNLINKED_NUMBER[2..],
            "Zebedee",
            "marmalade",
            &lane,
        ] {
            assert!(!page.contains(secret), "{secret}: {page}");
        }
        assert!(!page.to_lowercase().contains("zebedee"));
    }
}
