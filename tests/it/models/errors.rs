//! Each way in which a model fails to answer, and its classification.

use std::{error::Error, iter, time::Duration};

use jobs::extract::{ExtractError, Extractor, ModelAccountProblem, ModelUnavailable};
use serde_json::{Value, json};

use super::{
    fake::{BOTH, FakeModel, KEY, ModelProtocol, ModelReply, extractor},
    message,
};

const TEXT: &str = "text-canary-91c2 Ana";
pub(super) const ANSWER: &str = "answer-canary-55d0";

/// An error with all its causes, in both formats.
fn all_of(error: &ExtractError) -> String {
    let causes = iter::successors(Some(error as &dyn Error), |&error| error.source());
    let shown: Vec<String> = causes.map(|error| format!("{error:?} {error}")).collect();
    shown.join(" ")
}

pub(super) async fn error_of(fake: &FakeModel, reply: ModelReply) -> ExtractError {
    let before = fake.requests().len();
    fake.reply_with(reply);
    let error = fake
        .extractor()
        .extract(&message(TEXT, &[]))
        .await
        .unwrap_err();
    assert_eq!(fake.requests().len(), before + 1, "asked once");
    let shown = all_of(&error);
    for secret in [KEY, "text-canary", ANSWER] {
        assert!(!shown.contains(secret), "{shown}");
    }
    error
}

pub(super) fn http(status: u16, body: &Value) -> ModelReply {
    ModelReply::Http(status, Vec::new(), body.to_string())
}

#[tokio::test]
async fn temporary_model_errors_are_classified_as_unavailable() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        for status in [500, 502, 503, 504, 529] {
            let error = error_of(
                &fake,
                http(status, &json!({ "error": { "message": ANSWER } })),
            )
            .await;
            assert!(
                matches!(error, ExtractError::Unavailable(ModelUnavailable::Server(s)) if s == status),
                "{error:?}"
            );
        }
        let error = error_of(&fake, ModelReply::Silence).await;
        assert!(
            matches!(error, ExtractError::Unavailable(ModelUnavailable::Timeout)),
            "{error:?}"
        );
        let error = error_of(&fake, ModelReply::Cut).await;
        assert!(
            matches!(
                error,
                ExtractError::Unavailable(ModelUnavailable::Connection)
            ),
            "{error:?}"
        );

        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let error = extractor(protocol, &base, KEY, 0)
            .extract(&message(TEXT, &[]))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                ExtractError::Unavailable(ModelUnavailable::Connection)
            ),
            "{error:?}"
        );
        assert!(!all_of(&error).contains("text-canary"));
    }
}

async fn throttled(
    fake: &FakeModel,
    headers: &[(&'static str, &str)],
    body: &Value,
) -> Option<Duration> {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    match error_of(fake, ModelReply::Http(429, headers, body.to_string())).await {
        ExtractError::Throttled { after } => after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_throttled_request_waits_as_long_as_the_service_says() {
    let seconds = |n| Some(Duration::from_secs(n));
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        assert_eq!(
            throttled(&fake, &[("retry-after", "7")], &json!({})).await,
            seconds(7)
        );
        assert_eq!(
            throttled(&fake, &[("retry-after", "999999")], &json!({})).await,
            seconds(3600)
        );
        for nonsense in ["-1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"] {
            assert_eq!(
                throttled(&fake, &[("retry-after", nonsense)], &json!({})).await,
                None
            );
        }
    }
    let fake = FakeModel::start(ModelProtocol::Gemini).await;
    let body = json!({ "error": {
        "code": 429,
        "message": ANSWER,
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{ "quotaId": "GenerateRequestsPerMinute" }] },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" },
        ],
    } });
    assert_eq!(
        throttled(&fake, &[], &body).await,
        Some(Duration::from_millis(34_500))
    );
    let fake = FakeModel::start(ModelProtocol::OpenAi).await;
    let body = json!({ "error": { "message": ANSWER, "type": "requests", "code": "rate_limit_exceeded" } });
    let after = throttled(&fake, &[("retry-after-ms", "1500")], &body).await;
    assert_eq!(after, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn account_and_settings_errors_are_distinguished_from_message_errors() {
    use ModelAccountProblem::{Address, Billing, Credentials, Model};
    let openai = |code: &str, kind: &str| json!({ "error": { "message": ANSWER, "type": kind, "param": null, "code": code } });
    let google = |status: &str, details: Value| json!({ "error": { "message": ANSWER, "status": status, "details": details } });
    let mut cases: Vec<(ModelProtocol, u16, Value, ModelAccountProblem)> = vec![
        (
            ModelProtocol::Gemini,
            400,
            google("FAILED_PRECONDITION", json!([])),
            Billing,
        ),
        (
            ModelProtocol::Gemini,
            400,
            google("INVALID_ARGUMENT", json!([{ "reason": "API_KEY_INVALID" }])),
            Credentials,
        ),
        (
            ModelProtocol::OpenAi,
            429,
            openai("insufficient_quota", "insufficient_quota"),
            Billing,
        ),
        (
            ModelProtocol::OpenAi,
            400,
            openai("model_not_found", "invalid_request_error"),
            Model,
        ),
    ];
    for protocol in BOTH {
        for (status, problem) in [
            (401, Credentials),
            (403, Credentials),
            (402, Billing),
            (404, Model),
            (405, Address),
            (308, Address),
        ] {
            cases.push((
                protocol,
                status,
                json!({ "error": { "message": ANSWER } }),
                problem,
            ));
        }
    }
    for (protocol, status, body, expected) in cases {
        let fake = FakeModel::start(protocol).await;
        let error = error_of(&fake, http(status, &body)).await;
        match error {
            ExtractError::Account { status: s, problem } => {
                assert_eq!((s, problem), (status, expected));
            }
            other => panic!("{protocol:?} {status}: {other:?}"),
        }
    }
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        let wrong_key = fake.extractor_with("another key", 0);
        let error = wrong_key.extract(&message(TEXT, &[])).await.unwrap_err();
        assert!(
            matches!(
                error,
                ExtractError::Account {
                    problem: Credentials,
                    ..
                }
            ),
            "{protocol:?}: {error:?}"
        );
        assert!(!all_of(&error).contains(KEY));
    }
}

#[tokio::test]
async fn a_redirect_receives_neither_the_key_nor_the_message() {
    for protocol in BOTH {
        let (fake, elsewhere) = (
            FakeModel::start(protocol).await,
            FakeModel::start(protocol).await,
        );
        let location = format!("http://{}/", elsewhere.address);
        let error = error_of(
            &fake,
            ModelReply::Http(307, vec![("location", location)], String::new()),
        )
        .await;
        assert!(
            matches!(
                error,
                ExtractError::Account {
                    problem: ModelAccountProblem::Address,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(elsewhere.requests().is_empty());
    }
}
