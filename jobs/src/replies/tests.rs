use proptest::prelude::*;

use super::*;

const OURS: &str = "+15005550006";

fn webhook(from: &str, to: &str) -> InboundWebhook {
    let fields = [
        ("MessageSid", "SM0123456789abcdef0123456789abcdef"),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
        ("From", from),
        ("To", to),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    InboundWebhook::from_fields(fields.into()).unwrap()
}

fn replies(to: ReplyTo) -> Replies {
    Replies {
        to,
        own_number: Some(E164::parse(OURS).unwrap()),
        templates: ReplyTemplates::default(),
    }
}

const NOTICES: [Notice; 6] = [
    Notice::Processed,
    Notice::NotLinked,
    Notice::RateLimited(Duration::from_hours(24)),
    Notice::Failed,
    Notice::MediaTooLarge(5 * MEGABYTE),
    Notice::MediaUnsupported,
];

#[test]
fn each_default_text_with_its_values_fits_one_segment() {
    for notice in NOTICES {
        let text = ReplyTemplates::default().fill(notice);
        assert!(text.chars().count() <= 160, "{text}");
        // What GSM 7-bit and ASCII share, apart from what takes two places or is another letter
        // there.
        assert!(
            text.chars()
                .all(|c| c.is_ascii() && !"`^{}[]~|\\".contains(c)),
            "{text}"
        );
    }
}

#[test]
fn a_wait_is_rounded_up_to_minutes_or_hours() {
    for (seconds, words) in [
        (0, "1 minute"),
        (1, "1 minute"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (59 * 60, "59 minutes"),
        (59 * 60 + 1, "1 hour"),
        (3600, "1 hour"),
        (3601, "2 hours"),
        (86_400, "24 hours"),
    ] {
        assert_eq!(as_text(Duration::from_secs(seconds)), words, "{seconds}");
    }
    assert_eq!(as_text(Duration::from_millis(60_001)), "2 minutes");
}

#[test]
fn a_limit_is_shown_in_the_largest_unit_that_fits() {
    assert_eq!(megabytes(5 * MEGABYTE), "5 MB");
    assert_eq!(megabytes(600 * 1024), "600 KB");
}

#[test]
fn only_a_phone_that_sent_a_text_message_gets_a_reply() {
    let replies = replies(ReplyTo::All);
    for from in [
        "12345",
        "MyBank",
        "whatsapp:+12025550123",
        "rcs:agent@x",
        OURS,
    ] {
        let reply = replies.reply(&webhook(from, "+15005550007"), None, Notice::NotLinked);
        assert!(reply.is_none(), "{from}");
    }
    let itself = webhook("+15005550009", "+15005550009");
    assert!(replies.reply(&itself, None, Notice::NotLinked).is_none());
    let phone = webhook("+12025550123", OURS);
    assert!(replies.reply(&phone, None, Notice::NotLinked).is_some());
}

#[test]
fn the_operator_chooses_which_messages_get_a_reply() {
    let phone = webhook("+12025550123", OURS);
    for notice in NOTICES {
        let sent = |to| replies(to).reply(&phone, None, notice).is_some();
        assert!(sent(ReplyTo::All));
        assert_eq!(sent(ReplyTo::Problems), notice != Notice::Processed);
        assert!(!sent(ReplyTo::None));
    }
}

#[test]
fn a_template_replaces_the_default_and_a_wrong_one_is_an_error() {
    let mut templates = ReplyTemplates::default();
    templates
        .set(ReplyKind::RateLimited, "Pause: {wait}!")
        .unwrap();
    let notice = Notice::RateLimited(Duration::from_mins(3));
    assert_eq!(templates.fill(notice), "Pause: 3 minutes!");
    for (kind, wrong) in [
        (ReplyKind::Processed, ""),
        (ReplyKind::Processed, "  "),
        (ReplyKind::Processed, "Wait {wait}"),
        (ReplyKind::RateLimited, "Wait {limit}"),
        (ReplyKind::RateLimited, "Wait {wait"),
    ] {
        assert!(templates.set(kind, wrong).is_err(), "{wrong:?}");
    }
    assert!(templates.set(ReplyKind::Failed, &"a".repeat(301)).is_err());
    assert_eq!(templates.fill(notice), "Pause: 3 minutes!");
}

proptest! {
    #[test]
    fn the_wait_in_a_reply_is_never_shorter_than_the_wait(seconds in 0u64..200_000) {
        let text = as_text(Duration::from_secs(seconds));
        let (count, unit) = text.split_once(' ').unwrap();
        let unit = if unit.starts_with("minute") { MINUTE } else { HOUR };
        let shown = count.parse::<u64>().unwrap() * unit;
        prop_assert!(shown >= seconds && shown < seconds.max(1) + unit.max(MINUTE));
    }
}
