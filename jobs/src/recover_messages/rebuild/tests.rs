use chrono::DateTime;

use super::*;

const SID: &str = "MM0123456789abcdef0123456789abcdef";

fn account() -> AccountSid {
    "AC0123456789abcdef0123456789abcdef".parse().unwrap()
}

fn record(body: &str, num_media: u32) -> InboundRecord {
    InboundRecord {
        sid: SID.parse().unwrap(),
        from: "+12025550123".to_owned(),
        to: "+15005550006".to_owned(),
        body: Some(body.to_owned()),
        num_media,
        num_segments: 1,
        messaging_service_sid: Some("MG0123456789abcdef0123456789abcdef".to_owned()),
        sent: DateTime::UNIX_EPOCH,
    }
}

fn media(count: usize) -> Vec<MediaRecord> {
    let file = |at| MediaRecord {
        url: format!("https://api.twilio.com/media/{at}"),
        content_type: "image/png".to_owned(),
    };
    (0..count).map(file).collect()
}

/// The parameters of a webhook that agree with [`record`].
fn parameters() -> Vec<(String, String)> {
    [
        ("FromCity", "OAKLAND"),
        ("Body", "Met Ada"),
        ("NumMedia", "0"),
        ("MessageSid", SID),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
        ("From", "+12025550123"),
        ("To", "+15005550006"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[test]
fn a_record_of_the_list_becomes_a_webhook_with_its_text_and_files() {
    let rebuilt = from_list(&record("Met Ada", 2), &account(), &media(2)).unwrap();
    let webhook = rebuilt.webhook;
    assert_eq!(rebuilt.source, MessageSource::List);
    assert_eq!(webhook.body(), "Met Ada");
    assert_eq!(webhook.message_sid().as_str(), SID);
    assert_eq!(webhook.account_sid(), &account());
    assert_eq!(webhook.media().len(), 2);
    assert!(!webhook.media_count_disagrees());
    for (name, value) in [
        ("SmsSid", SID),
        ("SmsMessageSid", SID),
        ("SmsStatus", "received"),
        ("NumSegments", "1"),
        ("MessagingServiceSid", "MG0123456789abcdef0123456789abcdef"),
        ("MediaContentType1", "image/png"),
    ] {
        assert_eq!(webhook.field(name), Some(value), "{name}");
    }
}

#[test]
fn a_message_of_which_twilio_has_nothing_any_more_is_redacted() {
    for body in [Some(String::new()), None] {
        let record = InboundRecord {
            body,
            ..record("", 1)
        };
        let redacted = from_list(&record, &account(), &[]).unwrap_err();
        assert_eq!(redacted, UnrecoverableReason::Redacted);
        // A picture without a text is a whole message.
        from_list(&record, &account(), &media(1)).unwrap();
    }
}

#[test]
fn what_the_receiver_would_refuse_is_unreadable() {
    for record in [
        record("Met \0 Ada", 0),
        InboundRecord {
            from: String::new(),
            ..record("Met Ada", 0)
        },
        InboundRecord {
            to: "\u{7}".to_owned(),
            ..record("Met Ada", 0)
        },
    ] {
        let refused = from_list(&record, &account(), &[]).unwrap_err();
        assert_eq!(refused, UnrecoverableReason::Unreadable, "{record:?}");
    }
}

#[test]
fn of_too_many_files_as_many_are_taken_as_a_webhook_may_have() {
    let rebuilt = from_list(&record("", 12), &account(), &media(12)).unwrap();
    assert_eq!(rebuilt.webhook.media().len(), usize::from(MAX_MEDIA));
    assert!(!rebuilt.webhook.media_count_disagrees());
}

#[test]
fn parameters_of_the_webhook_are_taken_whole_but_for_those_of_the_fallback() {
    let mut sent = parameters();
    sent.push(("ErrorCode".to_owned(), "11200".to_owned()));
    sent.push(("ErrorUrl".to_owned(), "https://sms.example.com".to_owned()));
    let rebuilt = from_alert(&record("Met Ada", 0), &account(), sent).unwrap();
    assert_eq!(rebuilt.source, MessageSource::Alert);
    assert_eq!(rebuilt.webhook.fields(), parameters());
}

#[test]
fn parameters_that_do_not_agree_with_the_list_are_not_taken() {
    for (name, value) in [
        ("MessageSid", "MM00000000000000000000000000000000"),
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("From", "+12025550124"),
        ("To", "+15005550007"),
        ("Body", "Met Ada "),
        ("Body", "Met\0 Ada"),
        ("NumMedia", "1"),
        ("NumMedia", "x"),
    ] {
        let mut sent = parameters();
        sent.retain(|(known, _)| known != name);
        sent.push((name.to_owned(), value.to_owned()));
        let taken = from_alert(&record("Met Ada", 0), &account(), sent);
        assert!(taken.is_none(), "{name}");
    }
    // The text was redacted at Twilio after the webhook had failed.
    assert!(from_alert(&record("", 0), &account(), parameters()).is_none());
}
