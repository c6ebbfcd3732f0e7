//! The settings of replies to messages.

use jobs::{Replies, ReplyTemplates, ReplyTo};
use store::sends::ReplyKind;

use super::{reader::Reader, twilio_account::phone_number};

/// The setting of each reply's text.
const TEMPLATES: [(&str, ReplyKind); 6] = [
    ("REPLY_PROCESSED", ReplyKind::Processed),
    ("REPLY_NOT_LINKED", ReplyKind::NotLinked),
    ("REPLY_RATE_LIMITED", ReplyKind::RateLimited),
    ("REPLY_FAILED", ReplyKind::Failed),
    ("REPLY_MEDIA_TOO_LARGE", ReplyKind::MediaTooLarge),
    ("REPLY_MEDIA_UNSUPPORTED", ReplyKind::MediaUnsupported),
];

/// `REPLIES` and the `REPLY_…`. No replies are sent where there is no number to send from.
pub(super) fn replies(r: &mut Reader<'_>, can_send: bool) -> Option<Replies> {
    let to = r.required("REPLIES", |text| match text {
        "all" => Ok(ReplyTo::All),
        "problems" => Ok(ReplyTo::Problems),
        "none" => Ok(ReplyTo::None),
        _ => Err("must be all, problems or none".to_owned()),
    });
    let mut templates = ReplyTemplates::default();
    let mut good = true;
    for (name, kind) in TEMPLATES {
        good &= r.required(name, |text| templates.set(kind, text)).is_some();
    }
    let own_number = phone_number(r);
    let to = to?;
    good.then_some(())?;
    Some(Replies {
        to: if can_send { to } else { ReplyTo::None },
        own_number: own_number?,
        templates,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Env;

    use super::*;

    fn read(settings: &[(&str, &str)], can_send: bool) -> Result<Replies, String> {
        let settings = settings
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let env = Env::of(settings.collect());
        Reader::read(&env, |r| replies(r, can_send)).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn without_settings_all_messages_get_replies_if_there_is_a_number_to_send_from() {
        assert_eq!(read(&[], true).unwrap().to, ReplyTo::All);
        assert_eq!(read(&[], false).unwrap().to, ReplyTo::None);
        let none = read(&[("REPLIES", "none")], true).unwrap();
        assert_eq!(none.to, ReplyTo::None);
    }

    #[test]
    fn mistakes_are_reported_by_name() {
        let mistakes = read(
            &[
                ("REPLIES", "some"),
                ("REPLY_FAILED", "Wait {wait}"),
                ("REPLY_RATE_LIMITED", "{minutes}"),
            ],
            true,
        )
        .unwrap_err();
        for name in ["REPLIES", "REPLY_FAILED", "REPLY_RATE_LIMITED"] {
            assert!(mistakes.contains(name), "{mistakes}");
        }
        assert!(!mistakes.contains("REPLY_PROCESSED"), "{mistakes}");
    }
}
