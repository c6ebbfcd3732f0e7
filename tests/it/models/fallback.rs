//! Who answers when the model does not.

use jobs::extract::{ExtractError, ExtractedBy, Fallback, WithFallback};

use super::{
    fake::{BOTH, FakeModel, ModelProtocol, ModelReply},
    file, message, shown,
};

fn status(status: u16) -> ModelReply {
    ModelReply::Http(status, Vec::new(), "{}".to_owned())
}

async fn ask(
    fake: &FakeModel,
    fallback: Fallback,
    reply: ModelReply,
    last: bool,
) -> Result<ExtractedBy, ExtractError> {
    fake.will(reply);
    let extractor = WithFallback::new(fake.extractor(), fallback);
    let media = [file(0, "image/png", b"a photo")];
    let extraction = extractor
        .extract(&message("Tea with Ana #london", &media), last)
        .await?;
    if extraction.by == ExtractedBy::RulesFallback {
        assert_eq!(
            shown(&extraction),
            [
                (Some("customNotes"), "Tea with Ana #london\nPhoto, 7 bytes"),
                (None, "london")
            ]
        );
        assert!(extraction.instead_because_of.is_some());
    } else {
        assert!(extraction.instead_because_of.is_none());
    }
    Ok(extraction.by)
}

#[tokio::test]
async fn while_attempts_are_left_the_model_is_waited_for_and_then_the_rules_answer() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        for code in [429, 500, 401, 404] {
            let error = ask(&fake, Fallback::Rules, status(code), false)
                .await
                .unwrap_err();
            assert!(
                matches!(
                    error,
                    ExtractError::Throttled { .. }
                        | ExtractError::Unavailable(_)
                        | ExtractError::Account { .. }
                ),
                "{error:?}"
            );
            let by = ask(&fake, Fallback::Rules, status(code), true)
                .await
                .unwrap();
            assert_eq!(by, ExtractedBy::RulesFallback, "{protocol:?} {code}");
        }
    }
}

#[tokio::test]
async fn what_another_attempt_would_not_change_the_rules_answer_at_once() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        for reply in [status(400), ModelReply::Generated("garbage".to_owned())] {
            let by = ask(&fake, Fallback::Rules, reply, false).await.unwrap();
            assert_eq!(by, ExtractedBy::RulesFallback, "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn without_a_fallback_an_error_is_one_and_a_good_answer_needs_none() {
    let fake = FakeModel::start(ModelProtocol::Gemini).await;
    for reply in [
        status(400),
        status(500),
        ModelReply::Generated("garbage".to_owned()),
    ] {
        assert!(ask(&fake, Fallback::None, reply, true).await.is_err());
    }
    let good = r#"{"contacts":[],"tags":[],"locations":[],"notes":"x"}"#;
    for fallback in [Fallback::None, Fallback::Rules] {
        let by = ask(
            &fake,
            fallback,
            ModelReply::Generated(good.to_owned()),
            true,
        )
        .await
        .unwrap();
        assert_eq!(by, ExtractedBy::Gemini);
    }
}

#[test]
fn the_names_that_are_stored_stay() {
    let labels = [
        ExtractedBy::Rules,
        ExtractedBy::Gemini,
        ExtractedBy::OpenAi,
        ExtractedBy::RulesFallback,
    ];
    assert_eq!(
        labels.map(ExtractedBy::label),
        ["rules", "gemini", "openai", "rules-fallback"]
    );
}
