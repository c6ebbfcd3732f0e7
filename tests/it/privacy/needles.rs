//! Searches for thousands of texts at once, in all their encodings.

use std::{collections::HashMap, fmt::Write};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// The minimum length of a text.
const START: usize = 8;

/// The texts by their first bytes, so that one pass over the haystack finds any of them.
pub(super) struct Needles(HashMap<[u8; START], Vec<String>>);

impl Needles {
    /// Searches for these texts.
    pub(super) fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let mut needles: HashMap<_, Vec<String>> = HashMap::new();
        for text in texts {
            let start = text.as_bytes()[..START].try_into().unwrap();
            needles.entry(start).or_default().push(text);
        }
        Self(needles)
    }

    /// Searches for these texts in every encoding.
    pub(super) fn encoded<'a>(texts: impl IntoIterator<Item = &'a String>) -> Self {
        Self::new(texts.into_iter().flat_map(|text| encodings(text)))
    }

    /// Fails if the haystack contains one of the texts.
    pub(super) fn assert_none_in(&self, what: &str, haystack: &str) {
        for (at, start) in haystack.as_bytes().windows(START).enumerate() {
            let candidates = self.0.get(start).map_or(&[][..], Vec::as_slice);
            let rest = &haystack.as_bytes()[at..];
            if let Some(found) = candidates.iter().find(|c| rest.starts_with(c.as_bytes())) {
                let line = haystack.lines().find(|line| line.contains(found));
                panic!("{what} holds {found}:\n{}", line.unwrap_or_default());
            }
        }
    }
}

/// The hexadecimal digits of a text.
pub(super) fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The text itself and its encodings.
pub(super) fn encodings(text: &str) -> Vec<String> {
    let hex = hex(text);
    let mut encodings = vec![text.to_owned(), hex.to_uppercase(), hex];
    // Base64 within a longer text. Characters that depend on the neighbouring bytes are left out.
    for before in 0..3 {
        let padded = [&b"..."[..before], text.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        let skipped = if before == 0 { 0 } else { 4 };
        encodings.push(STANDARD_NO_PAD.encode(&padded[..whole])[skipped..].to_owned());
        encodings.push(URL_SAFE_NO_PAD.encode(&padded[..whole])[skipped..].to_owned());
    }
    encodings
}
