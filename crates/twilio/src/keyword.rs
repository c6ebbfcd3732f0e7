//! STOP, START and HELP. Twilio acts on these words and answers them, and also delivers them to us.
//!
//! A message is a keyword only if its whole text is: people also use `CANCEL`, `END` and `YES` in
//! sentences. After a STOP, Twilio refuses our messages to that number (error 21610) until a START.
//!
//! Source: Twilio support, [opt-out
//! keywords](https://support.twilio.com/hc/en-us/articles/223134027), and [Advanced
//! Opt-Out](https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out).

use crate::InboundWebhook;

/// Each of these words stops messages from the number that received it. Twilio added `REVOKE` and
/// `OPTOUT` in 2025.
const STOP: [&str; 8] = [
    "STOP",
    "STOPALL",
    "UNSUBSCRIBE",
    "CANCEL",
    "END",
    "QUIT",
    "REVOKE",
    "OPTOUT",
];

/// Each of these words allows messages again.
const START: [&str; 3] = ["START", "YES", "UNSTOP"];

/// Twilio answers each of these words with a text that names the sender.
const HELP: [&str; 2] = ["HELP", "INFO"];

/// The request of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// Stop sending messages.
    Stop,
    /// Send messages again.
    Start,
    /// Name the sender.
    Help,
}

impl Keyword {
    /// Returns the message's keyword, if it is one. A Messaging Service with Advanced Opt-Out has
    /// its own words in any language and reports the keyword in the webhook, which then decides.
    pub fn of(webhook: &InboundWebhook) -> Option<Self> {
        let reported = webhook.opt_out_type().and_then(|value| {
            [
                ("STOP", Self::Stop),
                ("START", Self::Start),
                ("HELP", Self::Help),
            ]
            .into_iter()
            .find_map(|(name, keyword)| value.eq_ignore_ascii_case(name).then_some(keyword))
        });
        let has_media = webhook.num_media() > 0 || !webhook.media().is_empty();
        reported.or_else(|| {
            (!has_media)
                .then(|| Self::in_text(webhook.body()))
                .flatten()
        })
    }

    /// Returns the keyword of a text, ignoring blanks around it.
    fn in_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is_one_of(&STOP) {
            Some(Self::Stop)
        } else if is_one_of(&START) {
            Some(Self::Start)
        } else if is_one_of(&HELP) {
            Some(Self::Help)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(fields: &[(&str, &str)]) -> InboundWebhook {
        let of_all = [
            ("MessageSid", "SM0123456789abcdef0123456789abcdef"),
            ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
            ("From", "+12025550123"),
            ("To", "+15005550006"),
        ];
        let fields = of_all
            .iter()
            .chain(fields)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        InboundWebhook::from_fields(fields).expect("a message")
    }

    #[test]
    fn a_text_that_is_only_a_keyword_is_a_keyword() {
        for (words, keyword) in [
            (&STOP[..], Keyword::Stop),
            (&START, Keyword::Start),
            (&HELP, Keyword::Help),
        ] {
            for word in words {
                let lower = word.to_lowercase();
                let padded = format!(" \n{}{}\t ", &word[..1], &lower[1..]);
                for text in [*word, &lower, &padded] {
                    let found = Keyword::of(&webhook(&[("Body", text), ("NumMedia", "0")]));
                    assert_eq!(found, Some(keyword), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_text_with_more_words_is_not_a_keyword() {
        for text in [
            "",
            " ",
            "STOP PLEASE",
            "please stop",
            "STOP.",
            "STOP!",
            "\"STOP\"",
            "STOP\nSTOP",
            "ST OP",
            "STOPP",
            "UN-SUBSCRIBE",
            "yes, met Ana",
            "#help",
            "STOP\u{200b}",
            "ＳＴＯＰ",
            "ſtop",
        ] {
            assert_eq!(Keyword::of(&webhook(&[("Body", text)])), None, "{text:?}");
        }
    }

    #[test]
    fn a_keyword_with_a_picture_is_a_caption() {
        let url = "https://api.twilio.com/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages/MM0123456789abcdef0123456789abcdef/Media/ME0123456789abcdef0123456789abcdef";
        for fields in [
            &[("Body", "Cancel"), ("NumMedia", "1")][..],
            &[("Body", "Cancel"), ("NumMedia", "0"), ("MediaUrl0", url)],
        ] {
            assert_eq!(Keyword::of(&webhook(fields)), None);
        }
    }

    #[test]
    fn the_keyword_that_twilio_reports_wins_over_the_text() {
        for (told, keyword) in [
            ("STOP", Keyword::Stop),
            ("START", Keyword::Start),
            ("HELP", Keyword::Help),
        ] {
            for body in ["ARRET", "STOP", "HELP", ""] {
                let found = Keyword::of(&webhook(&[("OptOutType", told), ("Body", body)]));
                assert_eq!(found, Some(keyword), "{told} {body}");
            }
        }
        // An unknown value must not hide a STOP.
        let unknown = webhook(&[("OptOutType", "PAUSE"), ("Body", "stop")]);
        assert_eq!(Keyword::of(&unknown), Some(Keyword::Stop));
        let empty = webhook(&[("OptOutType", ""), ("Body", "Hello")]);
        assert_eq!(Keyword::of(&empty), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_with_two_words_is_a_keyword(first in "[A-Za-z]{1,12}", second in "[A-Za-z]{1,12}") {
            proptest::prop_assert_eq!(Keyword::in_text(&format!("{first} {second}")), None);
        }
    }
}
