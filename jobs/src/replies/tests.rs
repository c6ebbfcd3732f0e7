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
        words: Words::default(),
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
fn each_default_text_is_one_segment_with_all_filled_in() {
    for notice in NOTICES {
        let text = Words::default().fill(notice);
        assert!(text.chars().count() <= 160, "{text}");
        // What GSM 7-bit and ASCII share, apart from what takes two places or is another letter there.
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
        assert_eq!(in_words(Duration::from_secs(seconds)), words, "{seconds}");
    }
    assert_eq!(in_words(Duration::from_millis(60_001)), "2 minutes");
}

#[test]
fn a_limit_is_told_in_the_largest_unit_that_fits() {
    assert_eq!(megabytes(5 * MEGABYTE), "5 MB");
    assert_eq!(megabytes(600 * 1024), "600 KB");
}

#[test]
fn only_a_phone_that_sent_a_text_message_is_replied_to() {
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
fn which_messages_are_replied_to_is_the_operators_choice() {
    let phone = webhook("+12025550123", OURS);
    for notice in NOTICES {
        let sent = |to| replies(to).reply(&phone, None, notice).is_some();
        assert!(sent(ReplyTo::All));
        assert_eq!(sent(ReplyTo::Problems), notice != Notice::Processed);
        assert!(!sent(ReplyTo::None));
    }
}

#[test]
fn other_words_are_filled_in_and_mistakes_in_them_are_told() {
    let mut words = Words::default();
    words.set(ReplyKind::RateLimited, "Pause: {wait}!").unwrap();
    let notice = Notice::RateLimited(Duration::from_mins(3));
    assert_eq!(words.fill(notice), "Pause: 3 minutes!");
    for (kind, wrong) in [
        (ReplyKind::Processed, ""),
        (ReplyKind::Processed, "  "),
        (ReplyKind::Processed, "Wait {wait}"),
        (ReplyKind::RateLimited, "Wait {limit}"),
        (ReplyKind::RateLimited, "Wait {wait"),
    ] {
        assert!(words.set(kind, wrong).is_err(), "{wrong:?}");
    }
    assert!(words.set(ReplyKind::Failed, &"a".repeat(301)).is_err());
    assert_eq!(words.fill(notice), "Pause: 3 minutes!");
}

proptest! {
    #[test]
    fn whoever_waits_as_long_as_told_has_waited_long_enough(seconds in 0u64..200_000) {
        let told = in_words(Duration::from_secs(seconds));
        let (count, unit) = told.split_once(' ').unwrap();
        let unit = if unit.starts_with("minute") { MINUTE } else { HOUR };
        let told = count.parse::<u64>().unwrap() * unit;
        prop_assert!(told >= seconds && told < seconds.max(1) + unit.max(MINUTE));
    }
}
