//! A model reads the files.

use super::{MmsHarness, mms, names_and_values};
use crate::models::fake::{FakeModel, KEY, ModelProtocol, ModelReply};

async fn with_gemini(fake: &FakeModel) -> MmsHarness {
    let base = format!("http://{}", fake.address);
    MmsHarness::with(|database| {
        database
            .with("EXTRACTOR", "gemini")
            .with("GOOGLE_GEMINI_API_KEY", KEY)
            .with("GEMINI_MODEL", "gemini-test")
            .with("GEMINI_BASE_URL", base)
    })
    .await
}

async fn extracted_by(harness: &MmsHarness, sid: &str) -> String {
    sqlx::query_scalar(
        "select extracted_by from pigeonhole.inbound_messages where message_sid = $1",
    )
    .bind(sid)
    .fetch_one(&harness.app.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_model_reads_the_files_and_its_answer_becomes_items() {
    let fake = FakeModel::start(ModelProtocol::Gemini).await;
    let harness = with_gemini(&fake).await;
    let sid = harness
        .process("Ana likes this #tea", &["image/jpeg"])
        .await;
    assert_eq!(extracted_by(&harness, &sid).await, "gemini");
    let items = harness.items(&sid).await;
    let contact = r#"{"name":"Ana","context":"named in the message"}"#;
    assert!(
        names_and_values(&items).contains(&(None, contact)),
        "{:?}",
        names_and_values(&items)
    );
    let asked = fake.requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].body.to_string().contains("inlineData"));
}

#[tokio::test]
async fn the_rules_replace_a_model_without_a_usable_answer_and_the_message_says_so() {
    let fake = FakeModel::start(ModelProtocol::Gemini).await;
    let harness = with_gemini(&fake).await;
    fake.reply_with(ModelReply::Generated("no JSON".to_owned()));
    let sid = harness.process("Look #tea", &["image/png"]).await;
    assert_eq!(extracted_by(&harness, &sid).await, "rules-fallback");
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [
            (Some("customNotes"), "Look #tea\nPhoto, 48×32, 188 bytes"),
            (None, "tea")
        ]
    );
}

#[tokio::test]
async fn an_old_message_stops_waiting_for_a_throttled_model() {
    let fake = FakeModel::start(ModelProtocol::Gemini).await;
    let harness = with_gemini(&fake).await;
    for _ in 0..2 {
        let retry_after = vec![("retry-after", "1".to_owned())];
        fake.reply_with(ModelReply::Http(429, retry_after, "{}".to_owned()));
    }
    let sid = harness.app.deliver_text(&mms("Look #tea", &[])).await;
    harness.app.drain().await;
    assert_eq!(fake.requests().len(), 1);
    for older in [
        "update user_phone_numbers set created_at = created_at - interval '2 hours'",
        "update pigeonhole.inbound_messages set received_at = received_at - interval '2 hours'",
    ] {
        sqlx::query(older).execute(&harness.app.pool).await.unwrap();
    }
    assert_eq!(harness.app.run_until_ended(&sid).await, "processed");
    assert_eq!(extracted_by(&harness, &sid).await, "rules-fallback");
    assert_eq!(fake.requests().len(), 2);
}
