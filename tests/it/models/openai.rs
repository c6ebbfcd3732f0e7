//! The requests to an endpoint with `OpenAI`'s protocol.

use base64::{Engine, prelude::BASE64_STANDARD};
use jobs::extract::{ExtractedBy, Extractor, OpenAi, OpenAiConfig};
use serde_json::json;

use super::{
    fake::{FakeModel, KEY, ModelProtocol},
    file, message, shown,
};

#[tokio::test]
async fn a_message_is_one_question_with_its_files_and_its_answer_becomes_items() {
    let fake = FakeModel::start(ModelProtocol::OpenAi).await;
    let media = [
        file(0, "image/png", b"a photo"),
        file(1, "audio/mpeg", b"a voice"),
        file(2, "audio/vnd.wave", b"another"),
        file(3, "video/mp4", b"a video"),
    ];
    let extraction = fake
        .extractor()
        .extract(&message("Ana likes tea", &media))
        .await
        .unwrap();
    assert_eq!(extraction.by, ExtractedBy::OpenAi);
    assert_eq!(
        shown(&extraction),
        [
            (None, r#"{"name":"Ana","context":"named in the message"}"#),
            (Some("customNotes"), "likes tea"),
            (Some("customNotes"), "Video, 7 bytes"),
        ]
    );

    let asked = fake.requests();
    assert_eq!(asked.len(), 1);
    let asked = &asked[0];
    assert_eq!(asked.uri, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert!(!asked.body.to_string().contains(KEY));
    let audio = |format: &str, bytes: &[u8]| json!({ "type": "input_audio", "input_audio": { "data": BASE64_STANDARD.encode(bytes), "format": format } });
    let photo = format!(
        "data:image/png;base64,{}",
        BASE64_STANDARD.encode(b"a photo")
    );
    let messages = asked.body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["role"], "system");
    assert_eq!(
        messages[1],
        json!({
            "role": "user",
            "content": [
                { "type": "text", "text": r#"{"message_text":"Ana likes tea"}"# },
                { "type": "image_url", "image_url": { "url": photo } },
                audio("mp3", b"a voice"),
                audio("wav", b"another"),
            ],
        })
    );
}

#[tokio::test]
async fn a_self_hosted_endpoint_needs_no_key() {
    let fake = FakeModel::start(ModelProtocol::OpenAi).await;
    let config = OpenAiConfig {
        api_key: None,
        model: "local/llama:8b".to_owned(),
        base_url: format!("http://{}/some/path/v1/", fake.address)
            .parse()
            .unwrap(),
        timeout: std::time::Duration::from_secs(2),
        max_inline_bytes: 0,
    };
    let openai = OpenAi::new(&config).unwrap();
    let error = openai.extract(&message("Ana", &[])).await.unwrap_err();
    assert_eq!(error.label(), "account"); // the fake wants one
    let asked = fake.requests();
    assert_eq!(asked[0].uri, "/some/path/v1/chat/completions");
    assert!(!asked[0].headers.contains_key("authorization"));
    assert_eq!(asked[0].body["model"], "local/llama:8b");
}
