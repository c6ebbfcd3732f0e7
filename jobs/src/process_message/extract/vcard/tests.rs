use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Card {
    let mut cards = read(text.as_bytes());
    assert_eq!(cards.len(), 1, "{text}");
    cards.remove(0)
}

fn shown(card: &Card) -> Vec<(&str, &str)> {
    let fields = card
        .fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    std::iter::once(("name", card.name.as_str()))
        .chain(fields)
        .collect()
}

#[test]
fn a_card_of_an_iphone_gives_its_name_and_fields() {
    let card = one(concat!(
        "BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//Apple Inc.//iPhone OS 17.5//EN\r\n",
        "N:Bell;Ana;Maria;Dr.;\r\nFN:Dr. Ana Maria Bell\r\nORG:Bell & Sons;Research;\r\nTITLE:Head of Research\r\n",
        "EMAIL;type=INTERNET;type=HOME;type=pref:ana@example.com\r\n",
        "TEL;type=CELL;type=VOICE;type=pref:+1 (202) 555-0123\r\nTEL;type=WORK:+12025550124\r\n",
        "item1.ADR;type=HOME;type=pref:;;1 Main Street;Springfield;IL;62701;United States\r\n",
        "item1.X-ABADR:us\r\nitem2.URL;type=pref:https\\://example.com/ana\r\n",
        "BDAY;X-APPLE-OMIT-YEAR=1604:1604-05-12\r\nNOTE:Met at RustConf\\, likes \r\n trains\\nand tea\r\n",
        "PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAAAQABAAD\r\n /2wBDAAUEBAUEAwUFBAUGBgUGCA4JCAcH\r\nEND:VCARD\r\n",
    ));
    assert_eq!(
        shown(&card),
        [
            ("name", "Dr. Ana Maria Bell"),
            ("organization", "Bell & Sons, Research"),
            ("title", "Head of Research"),
            ("email", "ana@example.com"),
            ("phone", "+1 (202) 555-0123"),
            ("phone", "+12025550124"),
            (
                "location",
                "1 Main Street, Springfield, IL, 62701, United States"
            ),
            ("website", "https://example.com/ana"),
            ("birthday", "--05-12"),
            ("customNotes", "Met at RustConf, likes trains\nand tea"),
        ]
    );
}

#[test]
fn a_card_of_an_old_android_is_quoted_printable() {
    let card = one(concat!(
        "BEGIN:VCARD\r\nVERSION:2.1\r\n",
        "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=4D=C3=BC=6C=6C=65=72;=4A=C3=B6=72=67;;;\r\n",
        "TEL;CELL;PREF:+4915112345678\r\n",
        "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:=54=72=61=69=6E=20=\r\n=74=6F=20=4B=C3=B6=6C=6E\r\nEND:VCARD\r\n",
    ));
    assert_eq!(
        shown(&card),
        [
            ("name", "Jörg Müller"),
            ("phone", "+4915112345678"),
            ("customNotes", "Train to Köln")
        ]
    );
}

#[test]
fn quoted_printable_is_read_in_its_charset_or_in_the_likely_one() {
    for head in [
        "FN;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:M=FCller",
        "FN;CHARSET=windows-1252;QUOTED-PRINTABLE:M=FCller",
        "FN;ENCODING=QUOTED-PRINTABLE:M=C3=BCller",
        "FN;QUOTED-PRINTABLE:M=C3=BCller",
        "FN;ENCODING=QUOTED-PRINTABLE:M=FCller",
        "FN;encoding=quoted-printable;charset=utf-8:M=C3=BCller",
        "FN:Müller",
    ] {
        let card = one(&format!("BEGIN:VCARD\nVERSION:2.1\n{head}\nEND:VCARD\n"));
        assert_eq!(card.name, "Müller", "{head}");
    }
}

#[test]
fn bytes_of_other_encodings_are_read_too() {
    let latin1 = b"BEGIN:VCARD\rVERSION:2.1\rFN:M\xfcller\rEND:VCARD\r";
    assert_eq!(read(latin1)[0].name, "Müller");
    let text = "BEGIN:VCARD\nVERSION:3.0\nFN:山田\nEND:VCARD\n";
    let with_bom = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let little: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let big: Vec<u8> = [0xfe, 0xff]
        .into_iter()
        .chain(text.encode_utf16().flat_map(u16::to_be_bytes))
        .collect();
    for bytes in [with_bom, little, big] {
        assert_eq!(read(&bytes)[0].name, "山田");
    }
}

#[test]
fn version_4_has_uris_and_dates_without_a_year() {
    let card = one(concat!(
        "BEGIN:VCARD\nVERSION:4.0\nFN:Ana\nTEL;VALUE=uri:tel:+1-202-555-0123;ext=5\nEMAIL:mailto:ana@example.com?subject=hi\n",
        "BDAY:--0512\nURL:https://example.com/?a=1;b=2\nPHOTO:data:image/png;base64,iVBORw0KGgo=\nEND:VCARD\n",
    ));
    assert_eq!(
        shown(&card),
        [
            ("name", "Ana"),
            ("phone", "+1-202-555-0123"),
            ("email", "ana@example.com"),
            ("birthday", "--05-12"),
            ("website", "https://example.com/?a=1;b=2"),
        ]
    );
}

#[test]
fn a_contact_without_a_name_gets_another_field_as_its_name() {
    for (lines, name) in [
        ("N:Bell;Ana;;;\nFN:\n", "Ana Bell"),
        ("NICKNAME:Annie\nORG:Bell\n", "Annie"),
        ("ORG:Bell & Sons\n", "Bell & Sons"),
        ("EMAIL:ana@example.com\n", "ana@example.com"),
        ("TEL:+12025550123\n", "+12025550123"),
    ] {
        let card = one(&format!("BEGIN:VCARD\nVERSION:3.0\n{lines}END:VCARD\n"));
        assert_eq!(card.name, name);
    }
    assert_eq!(
        read(b"BEGIN:VCARD\nVERSION:3.0\nTITLE:Chief\nEND:VCARD\n"),
        []
    );
}

#[test]
fn several_cards_are_several_contacts_and_the_text_between_them_is_ignored() {
    let text = concat!(
        "FN:Nobody\nBEGIN:VCARD\nVERSION:3.0\nFN:Ana\nEND:VCARD\nFN:Nobody\nBEGIN:VCALENDAR\nFN:Nobody\nEND:VCALENDAR\n",
        "begin:vcard\nVERSION:2.1\nFN:Without an end\nBEGIN:VCARD\nVERSION:3.0\nFN:Bob\n",
    );
    let cards = read(text.as_bytes());
    let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
    assert_eq!(names, ["Ana", "Without an end", "Bob"]);
}

#[test]
fn a_hostile_card_is_bounded_and_clean() {
    let mut text = String::from("BEGIN:VCARD\nVERSION:3.0\nFN:A\u{202e}n\u{0}a\u{7}");
    text.push_str(&"x".repeat(100_000));
    text.extend((0..10_000).map(|n| format!("\nTEL:+{n}")));
    text.push_str("\nEND:VCARD\n");
    text.push_str(&"BEGIN:VCARD\nFN:Bob\nEND:VCARD\n".repeat(1000));
    let cards = read(text.as_bytes());
    assert_eq!(cards.len(), MAX_CARDS);
    assert_eq!(cards[0].fields.len(), MAX_FIELDS);
    assert!(cards[0].name.starts_with("An axxx"), "{}", cards[0].name);
    assert_eq!(cards[0].name.chars().count(), MAX_LINE);
}

/// Not a benchmark: what grows with the square of the size takes far longer here.
#[test]
fn reading_a_large_card_takes_linear_time() {
    let started = std::time::Instant::now();
    for line in [
        "PHOTO;ENCODING=b:",
        "NOTE;ENCODING=QUOTED-PRINTABLE:=\n",
        "NOTE:\\\n ",
        "X;A=\"",
        "N:;,",
        "NOTE:\n ",
    ] {
        for filling in ["A\n ", "=\n", "\\", "\"", ";", ",", "\n", "=41", ":\n"] {
            let size = usize::try_from(MAX_FILE).unwrap() / 16;
            let text = format!(
                "BEGIN:VCARD\nFN:Ana\n{line}{}",
                filling.repeat(size / filling.len())
            );
            assert_eq!(read(text.as_bytes())[0].name, "Ana");
        }
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("BEGIN:VCARD\n"),
        Just("END:VCARD\n"),
        Just("VERSION:2.1\n"),
        Just("VERSION:4.0\n"),
        Just("FN"),
        Just("N"),
        Just("TEL"),
        Just("BDAY"),
        Just("ADR"),
        Just("ORG"),
        Just("NOTE"),
        Just("URL"),
        Just("PHOTO"),
        Just("EMAIL"),
        Just("JSPROP"),
        Just(":"),
        Just(";"),
        Just(","),
        Just("="),
        Just("\\"),
        Just("\n"),
        Just("\r\n "),
        Just("\""),
        Just("."),
        Just(" "),
        Just(";ENCODING=QUOTED-PRINTABLE"),
        Just(";ENCODING=b"),
        Just(";CHARSET=utf-16"),
        Just(";CHARSET=utf-7"),
        Just(";VALUE=uri"),
        Just(";VALUE=date-time"),
        Just(";JSCOMPS=\"s,;1,\""),
        Just(";TYPE=\"a,b\""),
        Just(";PREF=99999999999"),
        Just("=C3=BC"),
        Just("=\n"),
        Just("data:image/png;base64,AA"),
        Just("ü"),
        Just("\u{0}"),
        Just("99999999999999999999"),
        Just("1990-05-12"),
        Just("--0512"),
        Just("T102200-0800"),
        Just("19961022T140000"),
        Just("\u{feff}"),
        Just("é=\n\u{301}"),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let cards = read(bytes);
    prop_assert!(cards.len() <= MAX_CARDS);
    prop_assert_eq!(&cards, &read(bytes));
    for card in &cards {
        prop_assert!(!card.name.is_empty() && card.name.chars().count() <= MAX_LINE);
        prop_assert!(card.fields.len() <= MAX_FIELDS);
        for (name, value) in &card.fields {
            let lines = *name == "customNotes";
            prop_assert!(!value.is_empty() && value.chars().count() <= MAX_NOTE);
            prop_assert!(
                value
                    .chars()
                    .all(|c| !c.is_control() || (lines && c == '\n'))
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_card_like_text_panics(text in pieces()) {
        check(format!("BEGIN:VCARD\n{text}").as_bytes())?;
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
        check(&[b"BEGIN:VCARD\nFN:a\nNOTE:", bytes.as_slice()].concat())?;
    }
}
