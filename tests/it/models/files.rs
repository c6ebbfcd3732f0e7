//! The files that the model gets, and those left to the rules.

use std::sync::Arc;

use jobs::extract::{
    Attachment, AttachmentBytes, BytesFuture, ContentError, ExtractError, ExtractedBy, Extractor,
    MessageContent,
};
use twilio::webhook::Location;

use super::{
    fake::{BOTH, FakeModel, KEY, ModelReply},
    file, message, shown,
};

const NOTHING: &str = r#"{"contacts":[],"tags":[],"locations":[],"notes":""}"#;

struct UnreadableFile(fn() -> ContentError);

impl AttachmentBytes for UnreadableFile {
    fn read(&self, _: u64) -> BytesFuture<'_> {
        Box::pin(std::future::ready(Err((self.0)())))
    }
}

fn away(position: u8, content_type: &str, error: fn() -> ContentError) -> Attachment {
    Attachment {
        content: Arc::new(UnreadableFile(error)),
        ..file(position, content_type, b"12345")
    }
}

/// The number of files in the last request.
fn sent(fake: &FakeModel) -> usize {
    let body = fake.requests().last().unwrap().body.to_string();
    body.matches("inlineData").count() + body.matches("\"image_url\":{").count()
}

#[tokio::test]
async fn the_rules_name_the_files_that_the_model_does_not_accept() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        let media = [
            file(0, "audio/amr", b"a voice"),
            file(1, "image/png", b"a photo"),
            file(2, "application/pdf", b"a paper"),
        ];
        let extraction = fake
            .extractor()
            .extract(&message("Ana", &media))
            .await
            .unwrap();
        assert_eq!(
            shown(&extraction),
            [
                (None, r#"{"name":"Ana","context":"named in the message"}"#),
                (Some("customNotes"), "Voice message, 7 bytes\nPDF, 7 bytes"),
            ],
            "{protocol:?}"
        );
        assert_eq!(sent(&fake), 1);
    }
}

#[tokio::test]
async fn files_beyond_the_budget_are_not_sent_and_are_named() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        let media = [
            file(0, "image/png", &[1; 600]),
            file(1, "image/png", &[2; 600]),
            file(2, "image/png", &[3; 400]),
        ];
        let extractor = fake.extractor_with(KEY, 1000);
        let extraction = extractor.extract(&message("tea", &media)).await.unwrap();
        assert_eq!(
            shown(&extraction),
            [
                (Some("customNotes"), "likes tea"),
                (Some("customNotes"), "Photo, 600 bytes")
            ]
        );
        assert_eq!(sent(&fake), 2, "{protocol:?}");
    }
}

#[tokio::test]
async fn contact_cards_and_places_are_left_to_the_rules() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        let card = b"BEGIN:VCARD\nVERSION:3.0\nFN:Cleo\nTEL:+12025550123\nEND:VCARD\n";
        let media = [file(0, "text/x-vcard", card)];
        let place = Location {
            latitude: 48.0,
            longitude: 11.5,
            address: None,
            label: Some("Her flat"),
        };
        let with_place = MessageContent {
            location: Some(place),
            ..message("Ana's tea", &media)
        };
        let extraction = fake.extractor().extract(&with_place).await.unwrap();
        assert_eq!(
            shown(&extraction),
            [
                (None, r#"{"name":"Ana","context":"named in the message"}"#),
                (Some("customNotes"), "likes tea"),
                (Some("location"), "Her flat (48, 11.5)"),
                (None, r#"{"name":"Cleo","context":"Ana's tea"}"#),
                (Some("phone"), "+12025550123"),
            ]
        );
        let body = fake.requests()[0].body.to_string();
        assert!(
            !body.contains("Cleo") && !body.contains("Her flat"),
            "{body}"
        );

        // Without a text or a supported file, the model gets no request.
        let nothing_to_ask = MessageContent {
            text: " \n",
            ..with_place
        };
        let extraction = fake.extractor().extract(&nothing_to_ask).await.unwrap();
        assert_eq!(
            (extraction.by, extraction.items.len()),
            (ExtractedBy::Rules, 3)
        );
        assert_eq!(fake.requests().len(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_photo_without_findings_is_still_named() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        fake.reply_with(ModelReply::Generated(NOTHING.to_owned()));
        let media = [file(0, "image/png", b"a photo")];
        let extraction = fake
            .extractor()
            .extract(&message("", &media))
            .await
            .unwrap();
        assert_eq!(
            shown(&extraction),
            [(Some("customNotes"), "Photo, 7 bytes")],
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn a_deleted_file_is_named_and_an_unavailable_file_is_awaited() {
    for protocol in BOTH {
        let fake = FakeModel::start(protocol).await;
        let gone = [
            away(0, "image/png", || ContentError::Gone),
            away(1, "image/png", || ContentError::TooLarge),
        ];
        let extraction = fake
            .extractor()
            .extract(&message("tea", &gone))
            .await
            .unwrap();
        let named = "Photo, 5 bytes\nPhoto, 5 bytes";
        assert_eq!(
            shown(&extraction),
            [
                (Some("customNotes"), "likes tea"),
                (Some("customNotes"), named)
            ]
        );
        let away = [away(0, "image/png", || {
            ContentError::Unavailable("away".into())
        })];
        let error = fake
            .extractor()
            .extract(&message("tea", &away))
            .await
            .unwrap_err();
        assert!(matches!(error, ExtractError::Content(_)), "{error:?}");
        assert_eq!(fake.requests().len(), 1, "{protocol:?}");
    }
}
