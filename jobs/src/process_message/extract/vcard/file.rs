//! Splits the bytes of a file into the lines of its cards.

use std::borrow::Cow;

/// The text of these bytes. Old phones use the encoding of their country and do not name it. Such
/// bytes are read as Latin-1, which is right for Western names and leaves other names readable as
/// wrong letters.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8_or_latin1(rest),
        _ => utf8_or_latin1(bytes),
    };
    if text.contains('\n') {
        text
    } else {
        text.replace('\r', "\n")
    }
}

fn utf8_or_latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().copied().map(read).collect();
    String::from_utf16_lossy(&units)
}

/// The lines of each card, from its `BEGIN` to its `END`. If `END` is missing, to the next `BEGIN`
/// or the end of the file.
pub(super) fn cards_of(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut lines = text.split_inclusive('\n').peekable();
    std::iter::from_fn(move || {
        lines.find(|line| is(line, "BEGIN:VCARD"))?;
        let mut card = String::from("BEGIN:VCARD\n");
        while let Some(line) = lines.next_if(|line| !is(line, "BEGIN:VCARD")) {
            card.push_str(&with_encoding_spelt_out(line));
            if is(line, "END:VCARD") {
                break;
            }
        }
        Some(card)
    })
}

fn is(line: &str, marker: &str) -> bool {
    line.trim().eq_ignore_ascii_case(marker)
}

/// vCard 2.1 allows `;QUOTED-PRINTABLE` for `;ENCODING=QUOTED-PRINTABLE`, which the parser does not
/// support. Without a `CHARSET` the parser assumes Latin-1, but phones write UTF-8. If the bytes
/// are not UTF-8, the parser returns bytes.
fn with_encoding_spelt_out(line: &str) -> Cow<'_, str> {
    const ENCODING: &str = "QUOTED-PRINTABLE";
    let Some((head, value)) = line.split_once(':') else {
        return Cow::Borrowed(line);
    };
    let upper = head.to_ascii_uppercase();
    if !upper.contains(ENCODING) {
        return Cow::Borrowed(line);
    }
    let parameters: Vec<Cow<'_, str>> = head
        .split(';')
        .map(|parameter| {
            if parameter.trim().eq_ignore_ascii_case(ENCODING) {
                Cow::Owned(format!("ENCODING={ENCODING}"))
            } else {
                Cow::Borrowed(parameter)
            }
        })
        .collect();
    let charset = if upper.contains("CHARSET=") {
        ""
    } else {
        ";CHARSET=UTF-8"
    };
    Cow::Owned(format!("{}{charset}:{value}", parameters.join(";")))
}
