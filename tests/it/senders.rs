//! Every acceptable message is stored and reaches a final state, whatever its sender and content.

use twilio_simulator::InboundText;

use crate::{
    app::{TestApp, field, text},
    database::{NUMBER, UNLINKED_NUMBER},
};

#[tokio::test]
async fn a_message_from_an_unlinked_number_ends_without_items() {
    let app = TestApp::start().await;
    let sid = app
        .deliver_text(&text(UNLINKED_NUMBER, "Hello #unlinked"))
        .await;
    assert_eq!(app.run_until_ended(&sid).await, "ignored_unlinked");
    let rows = app.rows().await;
    assert_eq!((rows.messages, rows.items), (1, 0));
    assert_eq!((rows.jobs, rows.dead), (0, 0));
}

#[tokio::test]
async fn a_number_with_a_pending_verification_belongs_to_no_user() {
    let app = TestApp::start().await;
    sqlx::query("update user_phone_numbers set verified = false")
        .execute(&app.pool)
        .await
        .unwrap();
    let sid = app.deliver("Hello").await;
    assert_eq!(app.run_until_ended(&sid).await, "ignored_unlinked");
    assert_eq!(app.rows().await.items, 0);
}

#[tokio::test]
async fn a_sender_that_is_not_a_phone_number_is_stored_and_matches_no_user() {
    let app = TestApp::start().await;
    // Their digits equal the linked number or a part of it. None of them may match it.
    for sender in [
        format!("whatsapp:{NUMBER}"),
        "12025".to_owned(),
        NUMBER.trim_start_matches('+').to_owned(),
        "Pharmacy 24".to_owned(),
    ] {
        let sid = app.deliver_text(&text(&sender, "Hello #sender")).await;
        let state = app.run_until_ended(&sid).await;
        assert_eq!(state, "ignored_unlinked", "{sender}");
    }
    let rows = app.rows().await;
    assert_eq!((rows.messages, rows.items, rows.dead), (4, 0, 0));
}

#[tokio::test]
async fn an_empty_message_is_processed_and_creates_no_items() {
    let app = TestApp::start().await;
    for body in ["", "  \n"] {
        let sid = app.deliver(body).await;
        assert_eq!(app.run_until_ended(&sid).await, "processed");
        assert!(app.items(&sid).await.is_empty());
    }
}

#[tokio::test]
async fn the_media_parameters_decide_when_the_number_of_media_is_wrong() {
    let (app, _) = TestApp::with_twilio(|database| database).await;
    let fewer = InboundText {
        fields: vec![field("NumMedia", "3")],
        ..text(NUMBER, "no media")
    };
    let more = InboundText {
        media: vec!["image/png".to_owned()],
        fields: vec![field("NumMedia", "0")],
        ..text(NUMBER, "one medium")
    };
    for (text, source) in [(fewer, "sms"), (more, "mms")] {
        let sid = app.deliver_text(&text).await;
        assert_eq!(app.run_until_ended(&sid).await, "processed");
        let items = app.items(&sid).await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].source.as_deref(), Some(source));
    }
}

#[tokio::test]
async fn text_in_any_script_arrives_unchanged() {
    let app = TestApp::start().await;
    for body in [
        "Zoë & <b>'Ÿ'</b> + 100% \\ \u{1f44b}\u{1f3fd}",
        "見た #日本語 \u{200f}שלום",
    ] {
        let sid = app.deliver(body).await;
        assert_eq!(app.run_until_ended(&sid).await, "processed");
        assert_eq!(app.values(&sid).await[0], body);
    }
}
