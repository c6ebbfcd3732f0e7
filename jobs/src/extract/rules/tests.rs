use proptest::prelude::*;

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
fn a_blank_text_is_no_note_and_half_a_location_is_none() {
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
    fn any_text_gives_bounded_tags_that_stand_in_it(text in "(#|a|ß|-|1| |\\PC){0,400}") {
        let tags = tags(&text);
        prop_assert!(tags.len() <= MAX_TAGS);
        for tag in tags {
            let marked = format!("#{tag}");
            prop_assert!(text.contains(&marked));
        }
    }
}
