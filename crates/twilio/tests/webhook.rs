//! Webhooks good and hostile: each gets its named result, and none shows what it carries.

#![expect(clippy::expect_used, reason = "helpers of tests may panic as tests do")]

use twilio::AddressKind;
use twilio::form::{self, FormError};
use twilio::webhook::{InboundWebhook, MessageKind, PayloadError};

const SID: &str = "SM0123456789abcdef0123456789ABCDEF";
const ACCOUNT: &str = "AC0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

/// A plain message with some parameters replaced (`Some`), taken away (`None`) or added.
fn fields(changes: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
    let plain = [
        ("MessageSid", SID),
        ("AccountSid", ACCOUNT),
        ("From", "+14155550123"),
        ("To", "+15555556789"),
        ("Body", "met Zoë today"),
        ("NumMedia", "0"),
        ("FromCity", ""),
    ];
    let kept = plain
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(n, _)| n == name))
        .copied();
    let replaced = changes
        .iter()
        .filter_map(|&(name, value)| Some((name, value?)));
    kept.chain(replaced)
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

fn webhook(changes: &[(&str, Option<&str>)]) -> InboundWebhook {
    InboundWebhook::from_fields(fields(changes)).expect("a webhook")
}

fn refusal(changes: &[(&str, Option<&str>)]) -> PayloadError {
    InboundWebhook::from_fields(fields(changes)).expect_err("no webhook")
}

#[test]
fn a_plain_message_is_read_and_every_field_is_kept_in_order() {
    let webhook = webhook(&[("Unheard", Some("of"))]);
    assert_eq!(webhook.message_sid().as_str(), SID);
    assert_eq!(webhook.account_sid().as_str(), ACCOUNT);
    assert_eq!(webhook.from().phone(), Some("+14155550123"));
    assert_eq!(webhook.to().as_str(), "+15555556789");
    assert_eq!(webhook.body(), "met Zoë today");
    assert_eq!(webhook.kind(), MessageKind::Sms);
    assert_eq!((webhook.num_media(), webhook.media().len()), (0, 0));
    assert!(!webhook.media_count_disagrees());
    assert_eq!(webhook.opt_out_type(), None);
    assert_eq!(webhook.fields(), fields(&[("Unheard", Some("of"))]));
    assert_eq!(webhook.field("FromCity"), Some(""));
}

#[test]
fn an_empty_body_and_an_absent_one_are_the_same() {
    assert_eq!(webhook(&[("Body", Some(""))]).body(), "");
    assert_eq!(webhook(&[("Body", None)]).body(), "");
}

#[test]
fn a_whatsapp_sender_is_kept_unchanged() {
    let webhook = webhook(&[("From", Some("whatsapp:+14155550123"))]);
    assert_eq!(webhook.from().kind(), AddressKind::Channel);
    assert_eq!(webhook.from().as_str(), "whatsapp:+14155550123");
    assert_eq!(webhook.from().phone(), None);
}

#[test]
fn required_parameters_must_occur_once_and_be_well_formed() {
    for name in ["MessageSid", "AccountSid", "From", "To"] {
        let error = refusal(&[(name, None)]);
        assert_eq!(error, PayloadError::Missing(name));
        assert_eq!(error.label(), "missing");
        assert_eq!(refusal(&[(name, Some(""))]), PayloadError::Malformed(name));
        assert_eq!(
            refusal(&[(name, Some("\u{7}secret"))]),
            PayloadError::Malformed(name)
        );
    }
    assert_eq!(
        refusal(&[("MessageSid", Some(ACCOUNT))]),
        PayloadError::Malformed("MessageSid")
    );
}

#[test]
fn a_repeated_parameter_is_refused_where_one_value_is_needed() {
    for name in [
        "MessageSid",
        "AccountSid",
        "From",
        "To",
        "Body",
        "NumMedia",
        "OptOutType",
        "Latitude",
    ] {
        let error = refusal(&[(name, Some(SID)), (name, Some(SID))]);
        assert_eq!(error, PayloadError::Repeated(name));
        assert_eq!(error.label(), "repeated");
    }
    let twice = [
        ("MediaUrl3", Some("https://a")),
        ("MediaUrl3", Some("https://b")),
    ];
    assert_eq!(refusal(&twice), PayloadError::Repeated("MediaUrlN"));
    assert_eq!(
        webhook(&[("Unheard", Some("of")), ("Unheard", Some("of"))])
            .fields()
            .len(),
        9
    );
}

#[test]
fn media_are_read_with_their_types() {
    let webhook = webhook(&[
        ("NumMedia", Some("2")),
        ("MediaUrl1", Some("https://api.twilio.com/b")),
        ("MediaContentType1", Some("")),
        ("MediaUrl0", Some("https://api.twilio.com/a")),
        ("MediaContentType0", Some("audio/ogg; codecs=opus")),
    ]);
    assert_eq!(webhook.kind(), MessageKind::Mms);
    assert!(!webhook.media_count_disagrees());
    let [first, second] = webhook.media() else {
        panic!("two media")
    };
    assert_eq!(
        (first.index, first.url.as_str()),
        (0, "https://api.twilio.com/a")
    );
    assert_eq!(
        first.content_type.as_deref(),
        Some("audio/ogg; codecs=opus")
    );
    assert_eq!((second.index, second.content_type.as_deref()), (1, None));
}

#[test]
fn if_num_media_is_wrong_the_media_urls_decide() {
    let too_few = webhook(&[("NumMedia", Some("0")), ("MediaUrl0", Some("https://a"))]);
    assert_eq!((too_few.kind(), too_few.num_media()), (MessageKind::Mms, 0));
    assert!(too_few.media_count_disagrees());

    let too_many = webhook(&[("NumMedia", Some("4000000000"))]);
    assert_eq!(
        (too_many.kind(), too_many.media().len()),
        (MessageKind::Sms, 0)
    );
    assert!(too_many.media_count_disagrees());

    let gap = webhook(&[
        ("NumMedia", Some("1")),
        ("MediaUrl0", Some("")),
        ("MediaUrl7", Some("https://a")),
    ]);
    assert_eq!(gap.media()[0].index, 7);
    assert!(!gap.media_count_disagrees());

    let names: Vec<String> = (0..12).map(|n| format!("MediaUrl{n}")).collect();
    let mut changes: Vec<_> = names
        .iter()
        .map(|n| (n.as_str(), Some("https://a")))
        .collect();
    changes.push(("NumMedia", Some("10")));
    let twelve = webhook(&changes);
    assert_eq!(twelve.media().len(), 10);
    assert!(twelve.media_count_disagrees());

    for number in ["-1", "two", "1.5", "99999999999999999999"] {
        assert_eq!(
            refusal(&[("NumMedia", Some(number))]),
            PayloadError::Malformed("NumMedia")
        );
    }
    assert_eq!(webhook(&[("NumMedia", None)]).num_media(), 0);
    assert_eq!(webhook(&[("NumMedia", Some(""))]).num_media(), 0);
}

#[test]
fn a_place_needs_two_numbers_in_range() {
    let at = |latitude, longitude| {
        let webhook = webhook(&[("Latitude", Some(latitude)), ("Longitude", Some(longitude))]);
        webhook
            .location()
            .map(|place| (place.latitude, place.longitude))
    };
    assert_eq!(at("-33.85", "151.2"), Some((-33.85, 151.2)));
    for (latitude, longitude) in [
        ("90.1", "0"),
        ("0", "-180.5"),
        ("NaN", "0"),
        ("0", "inf"),
        ("", "0"),
        ("0", "1,5"),
        ("north", "0"),
    ] {
        assert_eq!(at(latitude, longitude), None, "{latitude} {longitude}");
    }
    assert!(webhook(&[("Latitude", Some("1"))]).location().is_none());
    let named = webhook(&[
        ("Latitude", Some("1")),
        ("Longitude", Some("2")),
        ("Label", Some("Pier 3")),
        ("Address", Some("")),
    ]);
    let place = named.location().expect("a place");
    assert_eq!((place.label, place.address), (Some("Pier 3"), None));
}

#[test]
fn an_opt_out_is_read_unless_it_is_empty() {
    assert_eq!(
        webhook(&[("OptOutType", Some("STOP"))]).opt_out_type(),
        Some("STOP")
    );
    assert_eq!(webhook(&[("OptOutType", Some(""))]).opt_out_type(), None);
}

#[test]
fn a_stored_webhook_is_unchanged_and_checked_again_when_read() {
    let before = webhook(&[("NumMedia", Some("1")), ("MediaUrl0", Some("https://a"))]);
    let json = serde_json::to_string(&before).expect("JSON");
    let after: InboundWebhook = serde_json::from_str(&json).expect("a webhook");
    assert_eq!(after, before);
    let error =
        serde_json::from_str::<InboundWebhook>(r#"[["From","+14155550123"]]"#).expect_err("no SID");
    assert!(error.to_string().contains("MessageSid is missing"));
}

#[test]
fn nothing_personal_is_printed() {
    let webhook = webhook(&[
        ("Latitude", Some("12.5")),
        ("Longitude", Some("7")),
        ("MediaUrl0", Some("https://secret.example")),
    ]);
    let printed = format!(
        "{webhook:?} {:?} {:?} {:?}",
        webhook.media(),
        webhook.location(),
        webhook.from()
    );
    assert!(printed.starts_with(&format!("InboundWebhook({SID}, [sealed])")));
    for secret in ["4155550123", "5555556789", "Zoë", "secret", "12.5"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let errors = [
        refusal(&[("From", Some("\u{7}Zoë"))]),
        refusal(&[("MessageSid", Some("Zoë"))]),
    ];
    assert!(errors.iter().all(|e| !e.to_string().contains("Zoë")));
}

#[test]
fn hostile_bodies_get_their_named_result_from_the_form_parser() {
    let label = |body: &[u8]| form::parse(body, 200).map_err(|e| e.label());
    assert_eq!(label(b"Body=a%00b"), Err("nul"));
    assert_eq!(label(b"Body=%C3%28"), Err("not_utf8"));
    assert_eq!(label(b"Body=%ED%A0%80"), Err("not_utf8"));
    assert_eq!(label(b"Body=100%"), Err("broken_escape"));
    assert_eq!(
        form::parse(&b"a=1&".repeat(5000), 200),
        Err(FormError::TooMany { limit: 200 })
    );
    assert_eq!(label(&b"a=1&".repeat(5000)), Err("too_many_parameters"));
}
