//! Refusals by a model, and answers that cannot be used.

use jobs::extract::{BadAnswer, ExtractError, ModelRefusal};
use serde_json::json;

use super::{
    errors::{ANSWER, error_of, http},
    fake::{BOTH, FakeModel, ModelProtocol, ModelReply, completion},
};

fn gemini_ends(reason: &str) -> ModelReply {
    ModelReply::Body(
        json!({ "candidates": [{ "content": { "parts": [{ "text": ANSWER }] }, "finishReason": reason }] }),
    )
}

fn openai_ends(reason: &str) -> ModelReply {
    ModelReply::Body(
        json!({ "choices": [{ "message": { "role": "assistant", "content": ANSWER }, "finish_reason": reason }] }),
    )
}

#[tokio::test]
async fn every_form_of_refusal_is_recognized() {
    let blocked = ModelReply::Body(
        json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" }, "usageMetadata": {} }),
    );
    let unreadable =
        json!({ "error": { "code": 400, "message": ANSWER, "status": "INVALID_ARGUMENT" } });
    let declined = ModelReply::Body(
        json!({ "choices": [{ "message": { "content": null, "refusal": ANSWER }, "finish_reason": "stop" }] }),
    );
    let filtered =
        json!({ "error": { "message": ANSWER, "type": null, "code": "content_filter" } });
    for (protocol, reply, expected) in [
        (ModelProtocol::Gemini, blocked, ModelRefusal::Safety),
        (
            ModelProtocol::Gemini,
            gemini_ends("SAFETY"),
            ModelRefusal::Safety,
        ),
        (
            ModelProtocol::Gemini,
            gemini_ends("RECITATION"),
            ModelRefusal::Safety,
        ),
        (
            ModelProtocol::Gemini,
            gemini_ends("SPII"),
            ModelRefusal::Safety,
        ),
        (
            ModelProtocol::Gemini,
            ModelReply::Body(json!({ "candidates": [{ "finishReason": "PROHIBITED_CONTENT" }] })),
            ModelRefusal::Safety,
        ),
        (
            ModelProtocol::Gemini,
            http(400, &unreadable),
            ModelRefusal::Request(400),
        ),
        (
            ModelProtocol::Gemini,
            http(413, &json!({})),
            ModelRefusal::Request(413),
        ),
        (ModelProtocol::OpenAi, declined, ModelRefusal::Declined),
        (
            ModelProtocol::OpenAi,
            openai_ends("content_filter"),
            ModelRefusal::Safety,
        ),
        (
            ModelProtocol::OpenAi,
            http(400, &filtered),
            ModelRefusal::Safety,
        ),
        (
            ModelProtocol::OpenAi,
            http(422, &json!({ "error": "a text" })),
            ModelRefusal::Request(422),
        ),
    ] {
        let fake = FakeModel::start(protocol).await;
        let error = error_of(&fake, reply.clone()).await;
        assert!(
            matches!(error, ExtractError::Refused(why) if why == expected),
            "{reply:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_unusable_answer_is_distinguished_from_a_refusal() {
    use BadAnswer::{Cut, Empty, Protocol as NotProtocol, Schema, TooLong};
    let html = ModelReply::Http(
        200,
        vec![("content-type", "text/html".to_owned())],
        format!("<html>{ANSWER}"),
    );
    let mut cases = vec![
        (ModelProtocol::Gemini, gemini_ends("MAX_TOKENS"), Cut),
        (ModelProtocol::Gemini, gemini_ends("OTHER"), NotProtocol),
        (
            ModelProtocol::Gemini,
            gemini_ends("SOMETHING_NEW"),
            NotProtocol,
        ),
        (
            ModelProtocol::Gemini,
            ModelReply::Body(json!({ "candidates": [] })),
            Empty,
        ),
        (
            ModelProtocol::Gemini,
            ModelReply::Body(json!({ "candidates": [{ "finishReason": "STOP" }] })),
            Empty,
        ),
        (ModelProtocol::OpenAi, openai_ends("length"), Cut),
        (
            ModelProtocol::OpenAi,
            openai_ends("tool_calls"),
            NotProtocol,
        ),
        (
            ModelProtocol::OpenAi,
            ModelReply::Body(json!({ "choices": [] })),
            Empty,
        ),
        (
            ModelProtocol::OpenAi,
            ModelReply::Body(
                json!({ "choices": [{ "message": { "content": null }, "finish_reason": "stop" }] }),
            ),
            Empty,
        ),
    ];
    for protocol in BOTH {
        let whole = completion(
            protocol,
            r#"{"contacts":[],"tags":[],"locations":[],"notes":""}"#,
        );
        cases.extend([
            (protocol, html.clone(), NotProtocol),
            (protocol, ModelReply::Body(json!([1, 2])), NotProtocol),
            (
                protocol,
                ModelReply::Body(json!({ "candidates": 1, "choices": 1 })),
                NotProtocol,
            ),
            (
                protocol,
                ModelReply::Http(200, vec![], whole[..whole.len() - 9].to_owned()),
                NotProtocol,
            ),
            (
                protocol,
                ModelReply::Http(200, vec![], String::new()),
                NotProtocol,
            ),
            (
                protocol,
                ModelReply::Http(204, vec![], String::new()),
                NotProtocol,
            ),
            (protocol, ModelReply::Endless, TooLong),
            (
                protocol,
                ModelReply::Generated(format!("Sure, here you are: {ANSWER}")),
                Schema,
            ),
            (
                protocol,
                ModelReply::Generated(json!({ "notes": ANSWER }).to_string()),
                Schema,
            ),
            (protocol, ModelReply::Generated(String::new()), Empty),
        ]);
    }
    for (protocol, reply, expected) in cases {
        let fake = FakeModel::start(protocol).await;
        let error = error_of(&fake, reply.clone()).await;
        assert!(
            matches!(error, ExtractError::BadAnswer(what) if what == expected),
            "{protocol:?} {reply:?}: {error:?}"
        );
    }
}
