//! STOP, START and HELP: words that Twilio acts upon and answers by itself, and still delivers to us.
//!
//! A message is a keyword only as a whole: `CANCEL`, `END` and `YES` are also words that people write. After a STOP
//! Twilio refuses what we send to that number (error 21610); a START ends that.
//!
//! Source: Twilio support, [opt-out
//! keywords](https://support.twilio.com/hc/en-us/articles/223134027), and [Advanced
//! Opt-Out](https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out).

use crate::InboundWebhook;

/// Each stops messages from the number that it was sent to. `REVOKE` and `OPTOUT` are so since 2025.
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

/// Each lets them through again.
const START: [&str; 3] = ["START", "YES", "UNSTOP"];

/// Each is answered with a text that says who we are.
const HELP: [&str; 2] = ["HELP", "INFO"];

/// What a message that is a keyword asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// Send me no more.
    Stop,
    /// Send me messages again.
    Start,
    /// Who are you?
    Help,
}

impl Keyword {
    /// The keyword that this message is. A Messaging Service with Advanced Opt-Out has words of its own, in any
    /// language, and says what it took the message for: that decides.
    pub fn of(webhook: &InboundWebhook) -> Option<Self> {
        let told = webhook.opt_out_type().and_then(|told| {
            [
                ("STOP", Self::Stop),
                ("START", Self::Start),
                ("HELP", Self::Help),
            ]
            .into_iter()
            .find_map(|(name, keyword)| told.eq_ignore_ascii_case(name).then_some(keyword))
        });
        let has_media = webhook.num_media() > 0 || !webhook.media().is_empty();
        told.or_else(|| {
            (!has_media)
                .then(|| Self::in_text(webhook.body()))
                .flatten()
        })
    }

    /// The keyword that a text is, blanks around it aside.
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
    fn a_text_that_is_a_keyword_and_nothing_else_is_one() {
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
    fn a_text_with_more_in_it_is_none() {
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
    fn what_twilio_took_it_for_decides_whatever_it_says() {
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
        // A word that Twilio may have tomorrow hides no STOP.
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
