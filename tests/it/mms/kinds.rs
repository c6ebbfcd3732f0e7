//! What each file of a message becomes.

use axum::http::Method;
use twilio_simulator::InboundText;

use super::{MediaRow, MmsHarness, mms, names_and_values};
use crate::{app::field, media::file_server::FileServer, process::run};

#[tokio::test]
async fn a_file_is_stored_and_the_messages_note_names_it() {
    let harness = MmsHarness::start().await;
    let sid = harness.process("Her card #contact", &["image/jpeg"]).await;
    let stored = MediaRow {
        position: 0,
        state: "stored".to_owned(),
        reason: None,
        content_type: Some("image/jpeg".to_owned()),
        bytes: Some(556),
        kept: true,
        deleted_at_twilio: false,
    };
    assert_eq!(harness.rows(&sid).await, [stored]);
    assert_eq!(harness.objects(), 1);
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [
            (
                Some("customNotes"),
                "Her card #contact\nPhoto, 48×32, 556 bytes"
            ),
            (None, "contact"),
        ]
    );
    let by: Option<String> =
        sqlx::query_scalar("select extracted_by from pigeonhole.inbound_messages")
            .fetch_one(&harness.app.pool)
            .await
            .unwrap();
    assert_eq!(by.as_deref(), Some("rules"));
    // The first request has our credentials. The second, to the file host, has none; the host would
    // refuse them.
    assert_eq!(harness.api.requests().media, 1);
    assert_eq!(harness.api.requests().unauthorized, 0);
}

#[tokio::test]
async fn ten_files_of_ten_types_are_stored_and_named_in_order() {
    let harness = MmsHarness::start().await;
    let kinds = [
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "audio/ogg",
        "audio/amr",
        "audio/mpeg",
        "video/mp4",
        "video/3gpp",
        "application/pdf",
    ];
    let sid = harness.process("All of it", &kinds).await;
    let rows = harness.rows(&sid).await;
    let types: Vec<_> = rows.iter().map(|row| row.content_type.as_deref()).collect();
    assert_eq!(types, kinds.map(Some));
    assert!(
        rows.iter().all(|row| row.state == "stored" && row.kept),
        "{rows:?}"
    );
    assert_eq!(harness.objects(), 10);
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [(
            Some("customNotes"),
            "All of it\n\
             Photo, 48×32, 556 bytes\n\
             Photo, 48×32, 188 bytes\n\
             GIF, 48×32, 201 bytes\n\
             Photo, 48×32, 200 bytes\n\
             Voice message, 377 bytes\n\
             Voice message, 16 bytes\n\
             Audio, 801 bytes\n\
             Video, 2 kB\n\
             Video, 2 kB\n\
             PDF, 580 bytes"
        )]
    );
}

#[tokio::test]
async fn a_contact_card_becomes_a_contact_with_its_fields_and_the_text_as_context() {
    let harness = MmsHarness::start().await;
    let sid = harness.process("Met at #RustConf", &["text/vcard"]).await;
    assert_eq!(harness.states(&sid).await, ["stored"]);
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [
            (None, "RustConf"),
            (
                None,
                r#"{"name":"Ana Example","context":"Met at #RustConf"}"#
            ),
            (Some("organization"), "Example Databases"),
            (Some("phone"), "+12025550143"),
            (Some("email"), "ana@example.com"),
        ]
    );
}

#[tokio::test]
async fn an_operator_lists_the_files_of_a_message_and_opens_one() {
    let harness = MmsHarness::start().await;
    let sid = harness
        .process("", &["text/vcard", "application/zip"])
        .await;
    let list = run(&["media", "list", &sid], &harness.app.settings).await;
    assert_eq!(list.code, Some(0), "{list:?}");
    for shown in ["text/vcard", "145", "type_not_supported"] {
        assert!(list.stdout.contains(shown), "{shown}: {}", list.stdout);
    }
    let path = harness.folder.path().join("card.vcf");
    let (file, output) = (format!("{sid}/0"), path.to_str().unwrap());
    let get = run(
        &["media", "get", &file, "--output", output],
        &harness.app.settings,
    )
    .await;
    assert_eq!(get.code, Some(0), "{get:?}");
    let card = std::fs::read_to_string(path).unwrap();
    assert!(card.starts_with("BEGIN:VCARD") && card.contains("Ana Example"));
    let ledger = run(&["messages", "show", &sid], &harness.app.settings).await;
    for shown in [
        "0: text/vcard, 145 bytes, stored ",
        "1: a file, type_not_supported ",
    ] {
        assert!(ledger.stdout.contains(shown), "{shown}: {}", ledger.stdout);
    }
}

#[tokio::test]
async fn wrapping_files_are_skipped_and_disallowed_types_are_refused_regardless_of_their_declared_type()
 {
    let harness = MmsHarness::start().await;
    let text = InboundText {
        fields: vec![field("MediaContentType3", "image/jpeg")],
        ..mms(
            "Look",
            &[
                "application/smil",
                "text/plain",
                "image/png",
                "application/zip",
            ],
        )
    };
    let sid = harness.process_text(&text).await;
    assert_eq!(
        harness.states(&sid).await,
        ["skipped", "skipped", "stored", "type_not_supported"]
    );
    assert_eq!(harness.objects(), 1);
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [(Some("customNotes"), "Look\nPhoto, 48×32, 188 bytes")]
    );
}

#[tokio::test]
async fn a_too_large_file_of_a_message_is_refused_with_or_without_an_announced_length() {
    let harness = MmsHarness::with(|database| database.with("MAX_MEDIA_SIZE_MB", "1")).await;
    let sid = harness
        .process("Large", &["image/bmp", "audio/wav", "image/png"])
        .await;
    assert_eq!(
        harness.states(&sid).await,
        ["too_large", "too_large", "stored"]
    );
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [(Some("customNotes"), "Large\nPhoto, 48×32, 188 bytes")]
    );
    harness.keep_up(1).await;

    let harness = MmsHarness::start().await;
    let sid = harness.process("", &["image/bmp", "audio/wav"]).await;
    assert_eq!(harness.states(&sid).await, ["stored", "stored"]);
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [(
            Some("customNotes"),
            "Photo, 1024×1024, 3.1 MB\nVoice message, 1.9 MB"
        )]
    );
}

#[tokio::test]
async fn waiting_for_a_file_that_twilio_does_not_have_yet_costs_no_attempt() {
    let harness = MmsHarness::start().await;
    harness.api.delay_media(2);
    let sid = harness.process("Soon", &["image/gif", "text/vcard"]).await;
    assert_eq!(harness.states(&sid).await, ["stored", "stored"]);
    assert!(harness.api.requests().media >= 6);
    assert_eq!(harness.app.rows().await.dead, 0);
}

#[tokio::test]
async fn a_url_outside_twilio_is_refused_without_a_request() {
    let elsewhere = FileServer::start().await;
    let harness = MmsHarness::start().await;
    let text = InboundText {
        fields: vec![field("MediaUrl0", &elsewhere.url("/Media/ME1"))],
        ..mms("Look", &["image/png"])
    };
    let sid = harness.process_text(&text).await;
    assert_eq!(harness.states(&sid).await, ["forbidden"]);
    let asked: Vec<Method> = elsewhere
        .requests()
        .into_iter()
        .map(|asked| asked.method)
        .collect();
    assert_eq!(asked, Vec::<Method>::new());
    assert_eq!(
        names_and_values(&harness.items(&sid).await),
        [(Some("customNotes"), "Look")]
    );
}
