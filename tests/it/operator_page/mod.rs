//! The operator's page over HTTP: its content, its buttons, its access control, and what it must
//! never show.

mod access;
mod browser;
mod privacy;

use std::net::SocketAddr;

use pigeonhole::services::Role;
use reqwest::{Response, StatusCode};

use crate::{
    app::TestApp,
    database::{Database, UNLINKED_NUMBER},
    wait::{PATIENCE, eventually},
    webhook::client,
};

/// Requests a page, which must exist.
async fn page(admin: SocketAddr, path: &str) -> String {
    let url = format!("http://{admin}{path}");
    let response = client().get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.text().await.unwrap()
}

/// The text of a page, with a blank for every tag and space.
fn text_of(page: &str) -> String {
    let text = page
        .split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let words: Vec<_> = text.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

fn token_of(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="token" value=""#).expect("a form");
    rest.split_once('"').unwrap().0.to_owned()
}

/// Posts a form of the page at `path`.
async fn send(admin: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Response {
    let token = token_of(&page(admin, path).await);
    let fields = [&[("token", token.as_str())], fields].concat();
    let url = format!("http://{admin}/change");
    client().post(url).form(&fields).send().await.unwrap()
}

/// Posts a form and follows the redirect. Returns the text of that page.
async fn submit(admin: SocketAddr, path: &str, fields: &[(&str, &str)]) -> String {
    let response = send(admin, path, fields).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()["location"].to_str().unwrap();
    assert!(location.starts_with('/'), "{location}");
    text_of(&page(admin, location).await)
}

/// Creates a dead letter. Returns its number.
async fn insert_dead_letter(
    database: &Database,
    id: i64,
    kind: &str,
    args: &str,
    error: &str,
) -> i64 {
    sqlx::query(
        "insert into queue.dead_jobs (id, kind, reason, created_at, attempts, max_attempts, priority, lane, args,
             last_error, errors)
         values ($1, $2, 'attempts_exhausted', now() - interval '1 hour', 12, 12, 0, 'blind-index-of-a-number',
             $3::json, $4, jsonb_build_array(jsonb_build_object('attempt', 12, 'at', now(), 'error', $4)))",
    )
    .bind(id)
    .bind(kind)
    .bind(args)
    .bind(error)
    .execute(&database.pool)
    .await
    .unwrap();
    id
}

#[tokio::test]
async fn the_overview_shows_queues_dead_letters_messages_and_workers() {
    let app = TestApp::on(Database::create().await, Role::Both).await;
    let admin = app.admin();
    let sid = app.deliver("Met Ana #rust").await;
    app.wait_until_ended(&sid).await;
    let unlinked = crate::app::text(UNLINKED_NUMBER, "Hello");
    let ignored = app.deliver_text(&unlinked).await;
    app.wait_until_ended(&ignored).await;
    insert_dead_letter(
        &app,
        900,
        "process_message",
        "{}",
        "the model did not answer",
    )
    .await;
    app.leaves.dead("process_message", 1);
    // A worker registers some seconds after its start.
    let overview = eventually("the worker is shown", PATIENCE, async || {
        let overview = page(admin, "/").await;
        let is_running = !text_of(&overview).contains("No worker is running.");
        is_running.then_some(overview)
    })
    .await;
    let text = text_of(&overview);
    for what in [
        "Dead letters of process_message : 1",
        "process_message 0 0 0 1 –",
        "900 process_message 12 of 12 0s ago attempts exhausted the model did not answer",
        "processed 1",
        "ignored_unlinked 1",
        "send_verification",
    ] {
        assert!(text.contains(what), "{what} is not in\n{text}");
    }
    assert!(!text.contains("Nothing needs attention"));

    let list = text_of(&page(admin, "/messages").await);
    assert!(list.contains(&sid) && list.contains(&ignored), "{list}");
    let list = text_of(&page(admin, "/messages?state=processed").await);
    assert!(list.contains(&sid) && !list.contains(&ignored), "{list}");
    let shown = text_of(&page(admin, &format!("/messages?sid={sid}")).await);
    for what in [
        "state processed",
        "rate limit not delayed",
        "items 2 found; now 2 pending",
    ] {
        assert!(shown.contains(what), "{what} is not in\n{shown}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_requeued_and_completed() {
    let app = TestApp::on(Database::create().await, Role::Both).await;
    let admin = app.admin();
    insert_dead_letter(&app, 901, "cleanup_sends", "{}", "it was too early").await;
    let shown = text_of(&page(admin, "/jobs/901").await);
    for what in [
        "state dead",
        "attempts 12 of 12",
        "error 12",
        "it was too early",
    ] {
        assert!(shown.contains(what), "{what} is not in\n{shown}");
    }
    let put_back = [("do", "requeue"), ("id", "901"), ("back", "job")];
    let told = submit(admin, "/jobs/901", &put_back).await;
    assert!(told.contains("1 dead letter was put back"), "{told}");
    eventually("the job is completed", PATIENCE, async || {
        let rows = app.rows().await;
        (rows.dead == 0 && rows.jobs == 0).then_some(())
    })
    .await;
    // A second requeue finds nothing to do, and the dead letter's page is gone.
    let told = submit(admin, "/", &[("do", "pause"), ("kind", "cleanup_sends")]).await;
    assert!(
        told.contains("Workers claim no more jobs of this kind"),
        "{told}"
    );
    let told = submit(admin, "/", &put_back[..2]).await;
    assert!(told.contains("not a dead letter any more"), "{told}");
    let url = format!("http://{admin}/jobs/901");
    assert_eq!(client().get(url).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn all_dead_letters_of_a_kind_are_listed_by_page_and_requeued_together() {
    let app = TestApp::on(Database::create().await, Role::Receiver).await;
    let admin = app.admin();
    for id in 1000..1060 {
        insert_dead_letter(&app, id, "cleanup_sends", "{}", "away").await;
    }
    insert_dead_letter(&app, 1100, "reconcile_dead_messages", "{}", "away").await;
    let first = page(admin, "/dead?kind=cleanup_sends").await;
    assert!(
        text_of(&first).contains("1049 cleanup_sends")
            && !text_of(&first).contains("1050 cleanup_sends")
    );
    assert!(
        first.contains("/dead?after=1049&amp;kind=cleanup_sends"),
        "{first}"
    );
    let second = text_of(&page(admin, "/dead?after=1049&kind=cleanup_sends").await);
    assert!(second.contains("1059 cleanup_sends") && !second.contains("1100"));
    let all = [
        ("do", "requeue_kind"),
        ("kind", "cleanup_sends"),
        ("back", "dead"),
        ("of", "cleanup_sends"),
    ];
    let told = submit(admin, "/dead?kind=cleanup_sends", &all).await;
    assert!(told.contains("60 dead letters were put back"), "{told}");
    assert_eq!((app.rows().await.dead, app.rows().await.jobs), (1, 60));
    app.leaves.live("cleanup_sends", 60); // there is no worker
    app.leaves.dead("reconcile_dead_messages", 1);
}

#[tokio::test]
async fn a_kind_is_paused_with_a_reason_and_resumed() {
    let app = TestApp::on(Database::create().await, Role::Both).await;
    let admin = app.admin();
    let pause = [
        ("do", "pause"),
        ("kind", "process_message"),
        ("reason", "Twilio is ill"),
    ];
    // The kind is unknown until a worker has registered it.
    eventually("the kind is known", PATIENCE, async || {
        let response = send_or_nothing(admin, &pause).await?;
        (response.status() == StatusCode::SEE_OTHER).then_some(())
    })
    .await;
    let text = text_of(&page(admin, "/").await);
    assert!(text.contains("process_message was paused"), "{text}");
    assert!(text.contains(": Twilio is ill"), "{text}");
    let sid = app.deliver("Hello").await;
    let text = text_of(&page(admin, "/").await);
    assert!(text.contains("process_message 1 0 0 0"), "{text}");
    let told = submit(admin, "/", &[("do", "resume"), ("kind", "process_message")]).await;
    assert!(
        told.contains("Workers claim jobs of this kind again"),
        "{told}"
    );
    assert_eq!(app.wait_until_ended(&sid).await, "processed");

    let unheard_of = [("do", "pause"), ("kind", "porcess_message")];
    let response = send(admin, "/", &unheard_of).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!page(admin, "/").await.contains("porcess_message"));
}

async fn send_or_nothing(admin: SocketAddr, fields: &[(&str, &str)]) -> Option<Response> {
    let overview = page(admin, "/").await;
    if !overview.contains(r#"name="token""#) {
        return None;
    }
    Some(send(admin, "/", fields).await)
}

#[tokio::test]
async fn missing_things_are_reported() {
    let app = TestApp::receiver_only().await;
    let admin = app.admin();
    let nobody = format!("/messages?sid=SM{}", crate::settings::hex());
    for (path, status, what) in [
        ("/jobs/1", 404, "There is no such job"),
        ("/jobs/x", 404, "There is no such job"),
        (
            "/messages?sid=SM1",
            400,
            "SM or MM and 32 hexadecimal digits",
        ),
        ("/messages?state=lost", 404, "no such state"),
        (&nobody, 404, "there is no message SM"),
    ] {
        let url = format!("http://{admin}{path}");
        let response = client().get(url).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let text = text_of(&response.text().await.unwrap());
        assert!(text.contains(what), "{path}: {text}");
    }
    let text = text_of(&page(admin, "/").await);
    assert!(text.contains("No worker is running."), "{text}");
    let away = Database::create()
        .await
        .with("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    let app = TestApp::on(away, Role::Receiver).await;
    let url = format!("http://{}/", app.admin());
    let response = client().get(url).send().await.unwrap();
    assert_eq!(response.status(), 503);
    let text = text_of(&response.text().await.unwrap());
    assert!(text.contains("the queue could not be read"), "{text}");
    app.stop().await; // it has no database in which jobs could be left
}
