//! A search for codes. Six digits may appear anywhere by chance: in a time, a process id, the
//! middle of a hash. So the search counts only whole words within strings.

use std::collections::HashSet;

use serde_json::Value;

use super::hex;

/// The six-digit words of a text, with the characters before and after each. The fraction of a
/// number, such as a time's microseconds, is not a word.
fn words(text: &str) -> impl Iterator<Item = (&[u8], &str, &[u8])> {
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(is_code)
        .map(move |word| {
            let at = word.as_ptr().addr() - text.as_ptr().addr();
            let bytes = text.as_bytes();
            (&bytes[..at], word, &bytes[at + word.len()..])
        })
        .filter(|(before, ..)| !matches!(before, [.., digit, b'.'] if digit.is_ascii_digit()))
}

/// The six-digit words.
fn plain(text: &str) -> impl Iterator<Item = &str> {
    words(text).map(|(_, word, _)| word)
}

/// The six-digit words between quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let is_quoted = |before: &[u8], after: &[u8]| matches!((before.last(), after.first()), (Some(a), Some(b)) if a == b && b"'\"".contains(a));
    words(text)
        .filter(move |(before, _, after)| is_quoted(before, after))
        .map(|(_, word, _)| word)
}

/// The strings of a log line without times and durations. The name of a duration ends in its unit.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "timestamp" && !name.ends_with("_ms"))
            .for_each(|(_, value)| strings(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A captured text by its source, which determines the digits that may be a code.
pub(super) enum CapturedText {
    /// A dump of the database.
    Dump(String),
    /// A log of ours with one JSON object per line.
    Log(String),
    /// Metrics, in which numbers appear only as values.
    Metrics(String),
    /// A log whose sentences contain process ids and durations.
    ForeignLog(String),
}

impl CapturedText {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Dump(text) | Self::Log(text) | Self::Metrics(text) | Self::ForeignLog(text) => {
                text
            }
        }
    }

    /// The first of these codes that the text contains.
    pub(super) fn code<'a>(&self, codes: &'a HashSet<String>) -> Option<&'a String> {
        let known = |word: &str| codes.get(word);
        let found = match self {
            Self::Dump(text) => plain(text).find_map(known),
            Self::Metrics(text) => text
                .lines()
                .filter_map(|line| line.rsplit_once(' '))
                .find_map(|(series, _)| plain(series).find_map(known)),
            Self::ForeignLog(text) => quoted(text).find_map(known),
            Self::Log(text) => text.lines().find_map(|line| {
                let mut found = Vec::new();
                match serde_json::from_str(line) {
                    Ok(line) => strings(&line, &mut found),
                    Err(_) => found.push(line.to_owned()),
                }
                found.iter().find_map(|text| plain(text).find_map(known))
            }),
        };
        // This encoding is too long to appear by chance.
        found.or_else(|| codes.iter().find(|code| self.text().contains(&hex(code))))
    }
}

#[test]
fn the_search_finds_leaked_codes_and_no_other_digits() {
    let codes = HashSet::from(["482913".to_owned()]);
    let finds = |captured_text: CapturedText| captured_text.code(&codes).is_some();
    let line = |value: Value| CapturedText::Log(format!("{{}}\n{value}\n"));
    assert!(finds(line(
        serde_json::json!({"fields": {"message": "the code 482913 is wrong"}})
    )));
    assert!(finds(line(serde_json::json!({"span": {"code": "482913"}}))));
    assert!(finds(CapturedText::Log("panicked: 482913".to_owned())));
    assert!(finds(CapturedText::Dump("1\t482913\t\\N".to_owned())));
    assert!(finds(CapturedText::Dump("\\x343832393133".to_owned())));
    assert!(finds(CapturedText::Metrics(
        "checks_total{code=\"482913\"} 1".to_owned()
    )));
    assert!(finds(CapturedText::ForeignLog(
        "DETAIL:  parameters: $1 = '482913'".to_owned()
    )));

    let timestamp = serde_json::json!({"timestamp": "2026-01-01T10:00:00.482913Z", "delay_ms": "482913", "pid": 482_913});
    assert!(!finds(line(timestamp)));
    assert!(!finds(CapturedText::Dump(
        "10:00:00.482913+00\tab482913".to_owned()
    )));
    assert!(!finds(CapturedText::Metrics(
        "checks_total 482913".to_owned()
    )));
    assert!(!finds(CapturedText::ForeignLog(
        "UTC [482913] LOG:  process 482913".to_owned()
    )));
}
