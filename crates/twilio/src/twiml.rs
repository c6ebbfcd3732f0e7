//! Writes the answers to webhooks, in TwiML.
//!
//! A text must never become markup. For another content type or broken XML, Twilio reports an error
//! and may send the text to the user as it is.
//!
//! Source: Twilio docs, [TwiML](https://www.twilio.com/docs/messaging/twiml).

/// The content type of every answer here.
pub const CONTENT_TYPE: &str = "text/xml";

/// The answer to an accepted webhook: Twilio does nothing.
pub fn empty() -> &'static str {
    r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#
}

/// Has Twilio send `text` to the sender of the message. Twilio bills it as an ordinary message.
///
/// It omits characters that XML 1.0 cannot contain.
pub fn message(text: &str) -> String {
    let mut xml = String::from(r#"<?xml version="1.0" encoding="UTF-8"?><Response><Message>"#);
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            c if is_xml(c) => xml.push(c),
            _ => {}
        }
    }
    xml.push_str("</Message></Response>");
    xml
}

/// The characters of [XML 1.0](https://www.w3.org/TR/xml/#charsets). Surrogates cannot occur in a
/// `char`.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_only_text() {
        assert_eq!(
            message(r#"<b>"Zoë" & 'I'</b>"#),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Message>&lt;b&gt;&quot;Zoë&quot; &amp; \
             &apos;I&apos;&lt;/b&gt;</Message></Response>"
        );
    }

    #[test]
    fn characters_that_xml_cannot_contain_are_omitted() {
        let xml = message("a\0b\u{1b}c\u{fffe}d\u{ffff}e\tf\ng👋");
        assert!(xml.contains("<Message>abcde\tf\ng👋</Message>"));
    }

    #[test]
    fn the_empty_answer_sends_the_user_nothing() {
        assert_eq!(
            empty(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>"
        );
    }
}
