//! The rules replace a model that fails.

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
    fake.reply_with(reply);
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
async fn the_model_is_retried_until_the_last_attempt_and_then_the_rules_are_used() {
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
async fn the_rules_are_used_at_once_for_permanent_errors() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        for reply in [status(400), ModelReply::Generated("garbage".to_owned())] {
            let by = ask(&fake, Fallback::Rules, reply, false).await.unwrap();
            assert_eq!(by, ExtractedBy::RulesFallback, "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn without_a_fallback_errors_are_returned_and_good_answers_are_used() {
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
fn the_stored_extractor_names_do_not_change() {
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
