//! The operator's page in a real browser.

use pigeonhole::services::Role;
use serde_json::json;

use super::insert_dead_letter;
use crate::{
    app::{TestApp, text},
    browser::Browser,
    database::{Database, NUMBER, UNLINKED_NUMBER},
    settings::hex,
    wait::{PATIENCE, eventually},
};

/// The page's URL, with the password that browsers ask for.
fn address(app: &TestApp, token: &str) -> String {
    format!("http://operator:{token}@{}/", app.admin())
}

async fn with_token(role: Role) -> (TestApp, String) {
    let token = hex();
    let database = Database::create().await.with("ADMIN_TOKEN", &token);
    (TestApp::on(database, role).await, token)
}

async fn wait_for_three_dead_letters(app: &TestApp) {
    eventually("three dead letters are left", PATIENCE, async || {
        (app.rows().await.dead == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_retries_a_dead_letter_and_pauses_and_resumes_a_kind() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let (app, token) = with_token(Role::Both).await;
    app.leaves.dead("process_message", 3); // their messages do not exist
    for (from, body) in [
        (NUMBER, "Met Ana at #RustConf"),
        (NUMBER, "Lunch with Bo #friends"),
        (UNLINKED_NUMBER, "Hello"),
    ] {
        let sid = app.deliver_text(&text(from, body)).await;
        app.wait_until_ended(&sid).await;
    }
    insert_dead_letter(
        &app,
        1201,
        "cleanup_sends",
        "{}",
        "the database took too long",
    )
    .await;
    let error =
        "the model at generativelanguage.googleapis.com answered 503: overloaded, try again later";
    for id in 1202..1205 {
        let args = json!({ "message": format!("SM{}", hex()) }).to_string();
        insert_dead_letter(&app, id, "process_message", &args, error).await;
    }
    eventually("the worker is registered", PATIENCE, async || {
        let workers = sqlx::query_scalar::<_, i64>("select count(*) from queue.workers");
        let workers = workers.fetch_one(&app.pool).await.unwrap();
        (workers == 1).then_some(())
    })
    .await;
    browser.resize(1280, 1510).await;
    browser.go(&address(&app, &token)).await;
    browser
        .wait_for_text("#attention", "Dead letters of cleanup_sends: 1")
        .await;

    browser
        .click("form:has([value=requeue]):has([value='1201']) button")
        .await;
    browser
        .wait_for_text("#flash", "1 dead letter was put back")
        .await;
    wait_for_three_dead_letters(&app).await; // the other one is completed

    let of_messages = "tr:has(form [value=process_message])";
    browser.click(&format!("{of_messages} summary")).await;
    let reason = format!("{of_messages} input[name=reason]");
    browser.fill(&reason, "The model is overloaded").await;
    browser
        .click(&format!("{of_messages} details button"))
        .await;
    browser
        .wait_for_text("#flash", "Workers claim no more jobs")
        .await;
    browser
        .wait_for_text("#attention", "process_message was paused")
        .await;
    browser
        .wait_for_text(of_messages, "The model is overloaded Resume")
        .await;
    let sid = app.deliver("Met Bo").await;
    browser.go(&address(&app, &token)).await;
    browser
        .wait_for_text(of_messages, "process_message 1 0 0 3")
        .await;
    browser.screenshot("operator.png").await;
    browser.resize(360, 1600).await;
    browser.screenshot("operator-phone.png").await;
    browser.resize(1280, 1510).await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground).await;
    browser.prefer_dark().await;
    assert_ne!(browser.run(ground).await, light);
    browser.screenshot("operator-dark.png").await;

    browser.click("#attention a").await;
    browser.wait_for_text("h1", "Dead letters").await;
    browser.screenshot("operator-dead.png").await;
    browser.click("main > form button").await;
    browser
        .wait_for_text("#flash", "3 dead letters were put back")
        .await;
    browser.go(&address(&app, &token)).await;
    browser.click(&format!("{of_messages} button")).await;
    browser
        .wait_for_text("#flash", "Workers claim jobs of this kind again")
        .await;
    assert_eq!(app.wait_until_ended(&sid).await, "processed");

    browser.fill("input[name=sid]", &sid).await;
    browser.click("form[action='/messages'] button").await;
    browser.wait_for_text("dl", "state processed").await;
    browser.screenshot("operator-message.png").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    wait_for_three_dead_letters(&app).await; // the jobs that have no message, again
}

#[tokio::test]
async fn the_page_fits_a_phone_and_labels_its_fields() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let (app, token) = with_token(Role::Receiver).await;
    app.leaves.dead("process_message", 1);
    insert_dead_letter(
        &app,
        5,
        "process_message",
        "{}",
        &"a long error, ".repeat(60),
    )
    .await;
    browser.resize(360, 1600).await;
    let address = address(&app, &token);
    for path in ["", "dead", "jobs/5", "messages"] {
        browser.go(&format!("{address}{path}")).await;
        browser.wait_for_text("h1", "").await;
        let name = format!("operator-small-{}.png", path.replace('/', "-"));
        browser.screenshot(&name).await;
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.run(fits).await, json!(true), "{path}");
        let unlabelled = "return [...document.querySelectorAll('input:not([type=hidden])')]
            .filter((i) => !i.labels.length).length";
        assert_eq!(browser.run(unlabelled).await, json!(0), "{path}");
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
