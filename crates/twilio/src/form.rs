//! Parses an `application/x-www-form-urlencoded` body into pairs, in order.
//!
//! The signature covers every character, so the parser never trims, drops blanks or normalises.
//! Values are people's messages, so no error contains a value.
//!
//! The parser is stricter than the [WHATWG
//! parser](https://url.spec.whatwg.org/#urlencoded-parsing), which keeps a `%` that escapes nothing
//! and replaces broken UTF-8. Twilio always escapes correctly, so a broken escape is not from
//! Twilio. Accepting it would let two different bodies mean the same signed text.

use std::fmt;

/// The name of the parameter that is wrong. It is shown only if it looks like a name, as it may be
/// a person's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterName(Option<String>);

impl ParameterName {
    /// Longer than any parameter that Twilio documents.
    const MAX_CHARS: usize = 40;

    fn of(name: &str) -> Self {
        let safe = name.len() <= Self::MAX_CHARS
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric());
        Self(safe.then(|| name.to_owned()))
    }
}

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, "parameter {name}"),
            None => f.write_str("a parameter"),
        }
    }
}

/// Why a body is not a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// More parameters than the limit.
    #[error("more than {limit} parameters")]
    TooMany {
        /// The limit that was passed in.
        limit: usize,
    },
    /// A `%` without two hexadecimal digits after it.
    #[error("{0} has a broken percent escape")]
    BrokenEscape(ParameterName),
    /// The decoded bytes are not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(ParameterName),
    /// A NUL character, which Postgres cannot store in a text.
    #[error("{0} contains a NUL character")]
    Nul(ParameterName),
}

impl FormError {
    /// The metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too_many_parameters",
            Self::BrokenEscape(_) => "broken_escape",
            Self::NotUtf8(_) => "not_utf8",
            Self::Nul(_) => "nul",
        }
    }
}

/// Decodes `body` into pairs of name and value. A name without `=` has an empty value. Empty text
/// between two `&` is skipped.
///
/// The parser counts parameters before it allocates, so a body with too many of them costs one
/// pass.
pub fn parse(body: &[u8], max_parameters: usize) -> Result<Vec<(String, String)>, FormError> {
    let segments = || {
        body.split(|&b| b == b'&')
            .filter(|segment| !segment.is_empty())
    };
    let count = segments().take(max_parameters.saturating_add(1)).count();
    if count > max_parameters {
        return Err(FormError::TooMany {
            limit: max_parameters,
        });
    }
    let mut pairs = Vec::with_capacity(count);
    for segment in segments() {
        let equals = segment.iter().position(|&b| b == b'=');
        let (name, value) = match equals {
            Some(at) => (&segment[..at], &segment[at + 1..]),
            None => (segment, &[][..]),
        };
        let name = decode(name).map_err(|fault| fault.at(ParameterName(None)))?;
        let value = decode(value).map_err(|fault| fault.at(ParameterName::of(&name)))?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// What is wrong with a name or a value.
enum Fault {
    BrokenEscape,
    NotUtf8,
    Nul,
}

impl Fault {
    fn at(self, name: ParameterName) -> FormError {
        match self {
            Self::BrokenEscape => FormError::BrokenEscape(name),
            Self::NotUtf8 => FormError::NotUtf8(name),
            Self::Nul => FormError::Nul(name),
        }
    }
}

fn decode(raw: &[u8]) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (hex_digit(rest.next()), hex_digit(rest.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(Fault::BrokenEscape),
            },
            other => other,
        });
    }
    if bytes.contains(&0) {
        return Err(Fault::Nul);
    }
    String::from_utf8(bytes).map_err(|_| Fault::NotUtf8)
}

fn hex_digit(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Vec<(String, String)> {
        parse(body.as_bytes(), 200).expect("a form")
    }

    fn refusal(body: &[u8]) -> String {
        parse(body, 200).expect_err("not a form").to_string()
    }

    #[test]
    fn order_blanks_and_repeats_are_kept() {
        let pairs = [("b", " x "), ("a", "1"), ("b", ""), ("", "v"), ("c", "")];
        let pairs: Vec<_> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(parsed("b=+x%20&a=1&&b=&=v&c&"), pairs);
        assert_eq!(parsed(""), []);
    }

    #[test]
    fn an_equals_sign_in_a_value_stays_there_and_nothing_is_decoded_twice() {
        assert_eq!(
            parsed("a=b=c%2525"),
            [("a".to_owned(), "b=c%25".to_owned())]
        );
    }

    #[test]
    fn a_refusal_names_the_parameter_and_never_its_value() {
        assert_eq!(
            refusal(b"Body=secret%"),
            "parameter Body has a broken percent escape"
        );
        assert_eq!(
            refusal(b"Body=secret%4"),
            "parameter Body has a broken percent escape"
        );
        assert_eq!(
            refusal(b"Body=secret%zz"),
            "parameter Body has a broken percent escape"
        );
        assert_eq!(refusal(b"Body=secret%FF"), "parameter Body is not UTF-8");
        assert_eq!(refusal(b"Body=secret\xff"), "parameter Body is not UTF-8");
        assert_eq!(
            refusal(b"Body=secret%00"),
            "parameter Body contains a NUL character"
        );
    }

    #[test]
    fn a_name_that_does_not_look_like_a_parameter_is_not_shown() {
        assert_eq!(
            refusal(b"%2B14155550123=%"),
            "a parameter has a broken percent escape"
        );
        assert_eq!(
            refusal(b"14155550123=%"),
            "a parameter has a broken percent escape"
        );
        assert_eq!(
            refusal(b"dear+Zoe=%"),
            "a parameter has a broken percent escape"
        );
        assert_eq!(refusal(b"a%00=1"), "a parameter contains a NUL character");
        assert_eq!(
            refusal(format!("{}=%", "a".repeat(41)).as_bytes()),
            "a parameter has a broken percent escape"
        );
    }

    #[test]
    fn five_thousand_parameters_are_too_many_and_the_limit_itself_is_not() {
        assert_eq!(
            parse("a=1&".repeat(5000).as_bytes(), 200),
            Err(FormError::TooMany { limit: 200 })
        );
        assert_eq!(
            parse("a=1&".repeat(201).as_bytes(), 200),
            Err(FormError::TooMany { limit: 200 })
        );
        assert_eq!(parsed(&"a=1&".repeat(200)).len(), 200);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_pairs_or_an_error_and_never_a_panic(body: Vec<u8>) {
            if let Ok(pairs) = parse(&body, 200) {
                assert!(pairs.iter().all(|(name, value)| !format!("{name}{value}").contains('\0')));
            }
        }
    }
}
