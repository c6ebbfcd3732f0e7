//! A signed message becomes items, with the columns that the web app expects.

use serde_json::Value;
use store::{Context, enrichment_items::item_id};
use twilio_simulator::InboundText;

use crate::{
    app::{TestApp, field, text},
    database::{ItemRow, NUMBER},
    webhook::{encode, webhook},
};

const BODY: &str = "Met Ana at #RustConf, she builds #databases";

/// The columns of a row that depend on the message.
fn shape(item: &ItemRow) -> (&str, Option<&str>, &str) {
    (&item.item_type, item.field_name.as_deref(), &item.value)
}

fn keys(item: &ItemRow) -> Vec<&str> {
    let metadata = item.source_metadata.as_object().unwrap();
    let mut keys: Vec<_> = metadata.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The sender, which the item's metadata holds sealed.
fn sender(app: &TestApp, item: &ItemRow) -> String {
    let context = Context::new("enrichment_items", "source_metadata.phone_number", item.id);
    let sealed = item.source_metadata["phone_number"].as_str().unwrap();
    app.settings.keyring().open_text(&context, sealed).unwrap()
}

/// Checks the columns that are the same for every item of a message.
fn assert_awaits_review(app: &TestApp, sid: &str, items: &[ItemRow], source: &str) {
    for (position, item) in (0..).zip(items) {
        assert_eq!(item.id, item_id(sid, position));
        assert_eq!(item.user_id, app.user);
        assert_eq!((item.voice_note_id, item.contact_id), (None, None));
        assert_eq!(item.action, "add");
        assert!(!item.accepted && !item.applied);
        assert_eq!(item.status.as_deref(), Some("pending"));
        assert_eq!(item.source.as_deref(), Some(source));
        assert_eq!(item.source_metadata["message_sid"], sid);
        assert_eq!(sender(app, item), NUMBER);
    }
}

#[tokio::test]
async fn a_text_with_tags_and_a_place_becomes_a_note_tags_and_a_location() {
    let app = TestApp::start().await;
    let text = InboundText {
        fields: vec![
            field("Latitude", "52.5163"),
            field("Longitude", "13.3777"),
            field("Label", "Brandenburg Gate"),
        ],
        ..text(NUMBER, BODY)
    };
    let sid = app.deliver_text(&text).await;
    assert_eq!(app.run_until_ended(&sid).await, "processed");

    let items = app.items(&sid).await;
    assert_eq!(
        items.iter().map(shape).collect::<Vec<_>>(),
        [
            ("field", Some("customNotes"), BODY),
            ("tag", None, "RustConf"),
            ("tag", None, "databases"),
            (
                "field",
                Some("location"),
                "Brandenburg Gate (52.5163, 13.3777)"
            ),
        ]
    );
    assert_awaits_review(&app, &sid, &items, "sms");
    for item in &items {
        assert_eq!(
            keys(item),
            ["message_sid", "original_message", "phone_number"]
        );
        assert_eq!(item.source_metadata["original_message"], BODY);
    }
    let rows = app.rows().await;
    assert_eq!((rows.messages, rows.items), (1, 4));
    assert_eq!((rows.jobs, rows.dead), (0, 0));
}

#[tokio::test]
async fn a_message_with_media_is_an_mms_and_names_the_type_of_its_first_file() {
    let (app, _) = TestApp::with_twilio(|database| database).await;
    let text = InboundText {
        media: vec!["image/jpeg".to_owned(), "audio/ogg".to_owned()],
        ..text(NUMBER, "Her card #contact")
    };
    let sid = app.deliver_text(&text).await;
    assert!(sid.starts_with("MM"));
    assert_eq!(app.run_until_ended(&sid).await, "processed");

    let items = app.items(&sid).await;
    assert_eq!(
        items.iter().map(shape).collect::<Vec<_>>(),
        [
            (
                "field",
                Some("customNotes"),
                "Her card #contact\nPhoto, 48×32, 556 bytes\nVoice message, 377 bytes"
            ),
            ("tag", None, "contact")
        ]
    );
    assert_awaits_review(&app, &sid, &items, "mms");
    for item in &items {
        assert_eq!(
            keys(item),
            [
                "media_type",
                "message_sid",
                "original_message",
                "phone_number"
            ]
        );
        assert_eq!(
            item.source_metadata["media_type"],
            Value::from("image/jpeg")
        );
    }
}

#[tokio::test]
async fn the_webhook_response_is_an_empty_document_that_twilio_can_parse() {
    let app = TestApp::receiver_only().await;
    app.leaves.live("process_message", 1);
    let parameters = app.twilio.parameters(&text(NUMBER, "Hello"));
    let signature = app.settings.sign(&parameters);
    let response = webhook(app.receiver, &signature, encode(&parameters))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/xml");
    assert!(response.headers().contains_key("content-length"));
    assert_eq!(
        response.text().await.unwrap(),
        r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#
    );
}

#[tokio::test]
async fn an_accepted_message_is_committed_with_its_job() {
    let app = TestApp::receiver_only().await;
    app.leaves.live("process_message", 1);
    let sid = app.deliver("Hello").await;
    let (kind, message): (String, String) =
        sqlx::query_as("select kind, args ->> 'message' from queue.jobs")
            .fetch_one(&app.pool)
            .await
            .unwrap();
    assert_eq!((kind.as_str(), &message), ("process_message", &sid));
    assert_eq!(app.state(&sid).await.as_deref(), Some("received"));
}
