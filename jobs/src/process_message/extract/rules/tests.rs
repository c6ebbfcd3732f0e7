use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;
use twilio::InboundWebhook;

use super::*;

fn message(fields: &[(&str, &str)]) -> InboundWebhook {
    let sid = "SM0123456789abcdef0123456789abcdef";
    let core = [
        ("MessageSid", sid),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
    ];
    let addresses = [("From", "+15551230001"), ("To", "+15559870000")];
    let pairs = core.iter().chain(&addresses).chain(fields);
    let pairs = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    InboundWebhook::from_fields(pairs).unwrap()
}

fn of_text(webhook: &InboundWebhook) -> Vec<Extracted> {
    let message = MessageContent {
        text: webhook.body(),
        location: webhook.location(),
        media: &[],
    };
    let extraction = Rules.extract(&message).now_or_never();
    extraction.unwrap().unwrap().items
}

#[test]
fn a_text_becomes_a_note_its_tags_and_its_location_in_that_order() {
    let items = of_text(&message(&[
        ("Body", "Met Ana at #RustConf, #munich"),
        ("Latitude", "48.137"),
        ("Longitude", "11.575"),
        ("Label", "Hofbräuhaus"),
    ]));
    let shown: Vec<_> = items
        .iter()
        .map(|i| (i.field_name, i.value.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            (Some("customNotes"), "Met Ana at #RustConf, #munich"),
            (None, "RustConf"),
            (None, "munich"),
            (Some("location"), "Hofbräuhaus (48.137, 11.575)"),
        ]
    );
}

#[test]
fn a_blank_text_makes_no_note_and_half_a_location_makes_no_item() {
    assert_eq!(
        of_text(&message(&[("Body", " \n"), ("Latitude", "48.137")])),
        []
    );
    let only = of_text(&message(&[("Latitude", "-1.5"), ("Longitude", "0")]));
    assert_eq!(only[0].value, "-1.5, 0");
}

#[test]
fn tags_are_words_of_any_script_once_each_and_never_numbers_or_fragments() {
    for (text, expected) in [
        ("#a #A #b", vec!["a", "b"]),
        (
            "(#café) #日本語 #x-y_z- end",
            vec!["café", "日本語", "x-y_z"],
        ),
        ("#1 is #2nd", vec!["2nd"]),
        ("see https://example.com/#top a#b ##c &#x20; # #", vec![]),
    ] {
        assert_eq!(tags(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn the_tags_of_any_text_are_bounded_and_parts_of_it(text in "(#|a|ß|-|1| |\\PC){0,400}") {
        let tags = tags(&text);
        prop_assert!(tags.len() <= MAX_TAGS);
        for tag in tags {
            let marked = format!("#{tag}");
            prop_assert!(text.contains(&marked));
        }
    }
}

fn attachment(position: u8, content_type: &str, bytes: &[u8]) -> Attachment {
    Attachment {
        position,
        content_type: content_type.to_owned(),
        bytes: u64::try_from(bytes.len()).unwrap(),
        dimensions: None,
        duration: None,
        content: Arc::new(bytes.to_vec()),
    }
}

fn card(name: &str, fields: &str) -> Vec<u8> {
    format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{name}\r\n{fields}END:VCARD\r\n").into_bytes()
}

async fn found(text: &str, media: &[Attachment]) -> Vec<(Option<&'static str>, String)> {
    let message = MessageContent {
        text,
        location: None,
        media,
    };
    let extraction = Rules.extract(&message).await.unwrap();
    assert_eq!(extraction.by, ExtractedBy::Rules);
    let items = extraction.items.into_iter();
    items.map(|item| (item.field_name, item.value)).collect()
}

fn expected(items: &[(Option<&'static str>, &str)]) -> Vec<(Option<&'static str>, String)> {
    items
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_caption_stays_with_its_files() {
    let media = [
        Attachment {
            dimensions: Some((1024, 768)),
            ..attachment(0, "image/jpeg", &[0; 2000])
        },
        attachment(1, "audio/amr", &[0; 900]),
    ];
    let note = "Whiteboard of #atlas\nPhoto, 1024×768, 2 kB\nVoice message, 900 bytes";
    assert_eq!(
        found("Whiteboard of #atlas \n", &media).await,
        expected(&[(Some("customNotes"), note), (None, "atlas")])
    );
    let note = "Photo, 1024×768, 2 kB\nVoice message, 900 bytes";
    assert_eq!(
        found(" ", &media).await,
        expected(&[(Some("customNotes"), note)])
    );
}

#[tokio::test]
async fn a_card_becomes_a_contact_with_the_caption_and_its_fields() {
    let media = [attachment(
        0,
        "text/x-vcard",
        &card(
            "Ana \"A\" Bell",
            "TEL:+12025550123\r\nEMAIL:a@example.com\r\n",
        ),
    )];
    assert_eq!(
        found("Call her about the flat #berlin", &media).await,
        expected(&[
            (None, "berlin"),
            (
                None,
                r#"{"name":"Ana \"A\" Bell","context":"Call her about the flat #berlin"}"#
            ),
            (Some("phone"), "+12025550123"),
            (Some("email"), "a@example.com"),
        ])
    );
}

#[tokio::test]
async fn the_fields_of_several_cards_are_in_the_contexts_of_their_contacts() {
    let media = [
        attachment(
            0,
            "text/vcard; charset=utf-8",
            &[card("Ana", "TEL:1\r\n"), card("Bob", "")].concat(),
        ),
        attachment(1, "image/png", &[0; 10]),
        attachment(
            2,
            "TEXT/VCARD",
            &card("Cleo", "NOTE:tall\r\nTITLE:Chief\r\n"),
        ),
    ];
    assert_eq!(
        found("The team", &media).await,
        expected(&[
            (Some("customNotes"), "The team\nPhoto, 10 bytes"),
            (None, r#"{"name":"Ana","context":"The team\nPhone: 1"}"#),
            (None, r#"{"name":"Bob","context":"The team"}"#),
            (
                None,
                r#"{"name":"Cleo","context":"The team\nNote: tall\nTitle: Chief"}"#
            ),
        ])
    );
}

struct Broken(fn() -> ContentError);

impl crate::extract::AttachmentBytes for Broken {
    fn read(&self, _: u64) -> crate::extract::BytesFuture<'_> {
        Box::pin(std::future::ready(Err((self.0)())))
    }
}

#[tokio::test]
async fn an_unreadable_card_is_described_unless_it_may_be_readable_later() {
    for bytes in [
        b"no card".as_slice(),
        b"",
        b"BEGIN:VCARD\r\nTITLE:Chief\r\nEND:VCARD",
    ] {
        let media = [attachment(0, "text/vcard", bytes)];
        let note = format!("Contact card, {} bytes", bytes.len());
        assert_eq!(
            found("", &media).await,
            expected(&[(Some("customNotes"), note.as_str())])
        );
    }
    for error in [|| ContentError::Gone, || ContentError::TooLarge] {
        let media = [Attachment {
            content: Arc::new(Broken(error)),
            ..attachment(0, "text/vcard", b"12")
        }];
        assert_eq!(
            found("", &media).await,
            expected(&[(Some("customNotes"), "Contact card, 2 bytes")])
        );
    }
    let huge = [Attachment {
        bytes: vcard::MAX_FILE + 1,
        ..attachment(0, "text/vcard", &card("Ana", ""))
    }];
    assert_eq!(
        found("", &huge).await,
        expected(&[(Some("customNotes"), "Contact card, 2.1 MB")])
    );
    let away = || ContentError::Unavailable("the store is away".into());
    let media = [Attachment {
        content: Arc::new(Broken(away)),
        ..attachment(0, "text/vcard", b"12")
    }];
    let message = MessageContent {
        text: "",
        location: None,
        media: &media,
    };
    assert!(matches!(
        Rules.extract(&message).await,
        Err(ExtractError::Content(_))
    ));
}

proptest! {
    #[test]
    fn any_message_gives_bounded_items_in_the_same_order_each_time(
        text in "(#|a|\\PC){0,200}",
        files in proptest::collection::vec((0_usize..4, 0_usize..20), 0..10),
    ) {
        let types = ["text/vcard", "image/jpeg", "audio/amr", "x/\u{0}y"];
        let media: Vec<Attachment> = (0u8..).zip(&files).map(|(position, (kind, cards))| {
            let bytes = card("Ana", "TEL:1\r\nTEL:2\r\n").repeat(*cards);
            attachment(position, types[*kind], &bytes)
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let items = runtime.block_on(found(&text, &media));
        prop_assert_eq!(&items, &runtime.block_on(found(&text, &media)));
        prop_assert!(items.len() <= crate::extract::MAX_ITEMS);
        let longest = text.len() + 2100 + 60 * media.len();
        prop_assert!(items.iter().all(|(_, value)| value.len() <= longest && !value.is_empty()));
    }
}
