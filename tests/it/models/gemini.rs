//! The requests to Gemini.

use axum::http::Method;
use base64::{Engine, prelude::BASE64_STANDARD};
use jobs::extract::{ExtractedBy, Extractor, Gemini, GeminiConfig, ModelConfigError};
use serde_json::json;

use super::{
    fake::{FakeModel, KEY, ModelProtocol},
    file, message, shown,
};

#[tokio::test]
async fn a_message_is_one_question_with_its_files_and_its_answer_becomes_items() {
    let fake = FakeModel::start(ModelProtocol::Gemini).await;
    let media = [
        file(0, "image/jpeg", b"a photo"),
        file(1, "Audio/OGG; codecs=opus", b"a voice"),
        file(2, "video/quicktime", b"a video"),
    ];
    let extraction = fake
        .extractor()
        .extract(&message("Ana and Bob like tea #friends", &media))
        .await
        .unwrap();
    assert_eq!(extraction.by, ExtractedBy::Gemini);
    assert_eq!(
        shown(&extraction),
        [
            (None, r#"{"name":"Ana","context":"named in the message"}"#),
            (None, r#"{"name":"Bob","context":"named in the message"}"#),
            (None, "friends"),
            (Some("customNotes"), "likes tea"),
        ]
    );

    let asked = fake.requests();
    assert_eq!(asked.len(), 1);
    let asked = &asked[0];
    assert_eq!(asked.method, Method::POST);
    assert_eq!(asked.uri, "/v1beta/models/gemini-test:generateContent");
    assert_eq!(asked.headers["x-goog-api-key"], KEY);
    assert!(!asked.body.to_string().contains(KEY));
    let inline = |mime_type: &str, bytes: &[u8]| json!({ "inlineData": { "mimeType": mime_type, "data": BASE64_STANDARD.encode(bytes) } });
    assert_eq!(
        asked.body["contents"],
        json!([{
            "role": "user",
            "parts": [
                { "text": r#"{"message_text":"Ana and Bob like tea #friends"}"# },
                inline("image/jpeg", b"a photo"),
                inline("audio/ogg", b"a voice"),
                inline("video/mov", b"a video"),
            ],
        }])
    );
    let schema = &asked.body["generationConfig"]["responseSchema"];
    assert_eq!(
        schema["required"],
        json!(["contacts", "tags", "locations", "notes"])
    );
    assert_eq!(
        asked.body["systemInstruction"]["parts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_model_name_that_changes_the_url_is_refused() {
    let config = |model: &str| GeminiConfig {
        api_key: KEY.to_owned().into(),
        model: model.to_owned(),
        base_url: "https://example.com/".parse().unwrap(),
        timeout: std::time::Duration::from_secs(1),
        max_inline_bytes: 0,
    };
    for model in ["", "../x", "a/b", "a?key=1", "a#b", "a:b", ".", "ü"] {
        let made = Gemini::new(&config(model));
        assert!(matches!(made, Err(ModelConfigError::Model)), "{model}");
    }
    let key = GeminiConfig {
        api_key: "a\nb".to_owned().into(),
        ..config("gemini-test")
    };
    assert!(matches!(Gemini::new(&key), Err(ModelConfigError::Key)));
    let made = Gemini::new(&config("models/gemini-2.5-flash_x")).unwrap();
    let shown = format!("{made:?} {:?}", config("a"));
    assert!(
        shown.contains("/v1beta/models/gemini-2.5-flash_x:generateContent"),
        "{shown}"
    );
    assert!(!shown.contains(KEY), "{shown}");
}
