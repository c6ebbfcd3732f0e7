use super::*;

fn body(code: u32) -> Vec<u8> {
    let text = format!(
        r#"{{"code":{code},"message":"'To' number +14155550123 is bad","more_info":"https://www.twilio.com/docs/errors/{code}","status":400}}"#
    );
    text.into_bytes()
}

fn of(status: u16, code: Option<u32>) -> CreateError {
    let body = code.map_or_else(|| b"<html>no JSON</html>".to_vec(), body);
    of_answer(status, None, &body)
}

/// Which kind of error, and its label.
fn kind(error: &CreateError) -> (&'static str, &'static str) {
    match error {
        CreateError::NotProcessed { why, .. } => ("not processed", why.label()),
        CreateError::Unclear(why) => ("unclear", why.label()),
        CreateError::Refused { reason, .. } => ("refused", reason.label()),
        CreateError::Account { reason, .. } => ("account", reason.label()),
    }
}

#[test]
fn each_answer_is_classified_by_status_first_and_code_second() {
    for (status, code, class, label) in [
        // Not processed.
        (429, Some(20429), "not processed", "throttled"),
        (429, None, "not processed", "throttled"),
        (429, Some(21211), "not processed", "throttled"),
        (429, Some(21611), "not processed", "queue_full"),
        (400, Some(21611), "not processed", "queue_full"),
        // Unclear.
        (500, Some(20500), "unclear", "server_error"),
        (500, Some(21211), "unclear", "server_error"),
        (502, None, "unclear", "server_error"),
        (503, Some(20429), "unclear", "server_error"),
        (504, None, "unclear", "server_error"),
        (408, None, "unclear", "timeout"),
        (302, None, "unclear", "unexpected_answer"),
        (307, None, "unclear", "unexpected_answer"),
        (199, None, "unclear", "unexpected_answer"),
        (600, None, "unclear", "unexpected_answer"),
        // Refused for this recipient.
        (400, Some(21211), "refused", "invalid_number"),
        (400, Some(21217), "refused", "invalid_number"),
        (400, Some(21265), "refused", "invalid_number"),
        (400, Some(21614), "refused", "not_mobile"),
        (400, Some(21635), "refused", "not_mobile"),
        (400, Some(21612), "refused", "no_route"),
        (400, Some(21214), "refused", "no_route"),
        (400, Some(21408), "refused", "region_not_enabled"),
        (403, Some(21408), "refused", "region_not_enabled"),
        (400, Some(21610), "refused", "opted_out"),
        (403, Some(30450), "refused", "blocked_as_fraud"),
        (400, Some(60410), "refused", "blocked_as_fraud"),
        (400, Some(99999), "refused", "other"),
        (400, None, "refused", "other"),
        (422, None, "refused", "other"),
        // Our account, or our settings.
        (401, Some(20003), "account", "credentials"),
        (401, None, "account", "credentials"),
        (401, Some(20005), "account", "suspended"),
        (403, None, "account", "credentials"),
        (403, Some(99999), "account", "credentials"),
        (403, Some(20005), "account", "suspended"),
        (404, Some(20404), "account", "request"),
        (404, None, "account", "request"),
        (405, Some(20004), "account", "request"),
        (400, Some(21212), "account", "sender_not_usable"),
        (400, Some(21606), "account", "sender_not_usable"),
        (400, Some(21659), "account", "sender_not_usable"),
        (400, Some(21660), "account", "sender_not_usable"),
        (400, Some(21608), "account", "trial"),
        (403, Some(21608), "account", "trial"),
        (400, Some(21602), "account", "request"),
        (400, Some(21619), "account", "request"),
        (400, Some(21617), "account", "request"),
        (400, Some(21609), "account", "request"),
        (400, Some(30032), "account", "registration"),
        (400, Some(30034), "account", "registration"),
    ] {
        assert_eq!(
            kind(&of(status, code)),
            (class, label),
            "HTTP {status}, code {code:?}"
        );
    }
}

#[test]
fn retry_after_is_read_in_seconds_and_capped() {
    for (header, expected) in [
        (Some("7"), Some(7)),
        (Some(" 7 "), Some(7)),
        (Some("0"), Some(0)),
        (Some("86400"), Some(3600)),
        (Some("99999999999999999999999"), Some(3600)),
        (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (Some("-1"), None),
        (Some("1.5"), None),
        (Some(""), None),
        (None, None),
    ] {
        let CreateError::NotProcessed { retry_after, .. } = of_answer(429, header, b"") else {
            panic!("{header:?}");
        };
        assert_eq!(retry_after, expected.map(Duration::from_secs), "{header:?}");
    }
}

#[test]
fn a_full_queue_has_a_default_wait() {
    let wait = |header| match of_answer(429, header, &body(21611)) {
        CreateError::NotProcessed { retry_after, .. } => retry_after,
        other => panic!("{other}"),
    };
    assert_eq!(wait(None), Some(QUEUE_FULL_PAUSE));
    assert_eq!(wait(Some("9")), Some(Duration::from_secs(9)));
}

#[test]
fn errors_quote_nothing_of_the_answer() {
    for status in [400, 401, 403, 404, 429, 500] {
        let error = of_answer(status, None, &body(21211));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("1415") && !shown.contains("bad"), "{shown}");
    }
}

#[test]
fn a_refused_list_is_either_throttled_or_a_problem_of_the_account() {
    let of = |status| of_list_answer(status, Some("5"), b"");
    let retry_after = Some(Duration::from_secs(5));
    assert_eq!(of(429), ListError::Throttled { retry_after });
    assert_eq!(of(503), ListError::Unavailable(Unclear::ServerError(503)));
    for (status, reason) in [
        (401, TwilioAccountProblem::Credentials),
        (404, TwilioAccountProblem::Request),
        (400, TwilioAccountProblem::Request),
    ] {
        assert_eq!(of(status), ListError::Account { status, reason });
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_panic(status: u16, header: Option<String>, body: Vec<u8>, code: i64) {
        of_answer(status, header.as_deref(), &body);
        of_answer(status, header.as_deref(), format!("{{\"code\":{code}}}").as_bytes());
    }

    #[test]
    fn a_server_error_with_any_code_is_unclear(status in 500u16..600, code: u32) {
        proptest::prop_assert_eq!(
            of_answer(status, Some("1"), &body(code)),
            CreateError::Unclear(Unclear::ServerError(status))
        );
    }
}
