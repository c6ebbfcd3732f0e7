use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn message(body: &str) -> OpenMessage {
    let fields = [
        ("MessageSid", "SM0123456789abcdef0123456789abcdef"),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
        ("From", "+12025550123"),
        ("To", "+15005550006"),
        ("Body", body),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    OpenMessage {
        webhook: Box::new(InboundWebhook::from_fields(fields.into()).unwrap()),
        received_at: DateTime::default(),
        sent_at: None,
        age: SECOND,
    }
}

fn from_phone(body: &str, starts_in: Option<Duration>) -> FromPhone {
    let message = message(body);
    FromPhone {
        keyword: Keyword::of(&message.webhook),
        number: E164::parse("+12025550123").unwrap(),
        message,
        starts_in,
    }
}

fn pick(stage: Stage) -> Result<FromPhone, Stage> {
    match stage {
        Stage::FromPhone(message) => Ok(message),
        other => Err(other),
    }
}

#[test]
fn a_missing_or_surplus_value_is_an_error_and_ends_no_message() {
    for values in [vec![], vec![None], vec![None; 3]] {
        let stages = vec![
            Ok(Stage::FromPhone(from_phone("Hello", None))),
            Ok(Stage::Wait(SECOND)),
            Ok(Stage::FromPhone(from_phone("Hello", None))),
        ];
        let advanced = advance(stages, pick, values, |message, user| {
            message.with_user(user, true)
        });
        assert!(matches!(advanced, Err(StepError::Mismatch)));
    }
}

#[test]
fn each_picked_stage_gets_its_own_value_and_the_others_stay() {
    let stages = vec![
        Ok(Stage::FromPhone(from_phone("Hello", None))),
        Err(StepError::Stopping),
        Ok(Stage::Wait(SECOND)),
        Ok(Stage::FromPhone(from_phone("Hello", None))),
    ];
    let user = Uuid::from_u128(1);
    let advanced = advance(stages, pick, vec![None, Some(user)], |message, user| {
        message.with_user(user, true)
    });
    let advanced = advanced.unwrap();
    assert!(matches!(
        &advanced[..],
        [
            Ok(Stage::UnlinkedSender(_)),
            Err(StepError::Stopping),
            Ok(Stage::Wait(SECOND)),
            Ok(Stage::Unreserved(message)),
        ] if message.user_id() == user
    ));
}

#[test]
fn the_user_the_reservation_and_the_policy_decide_what_comes_next() {
    let user = Some(Uuid::from_u128(1));
    let next = |body: &str, starts_in, user, enrichment| {
        from_phone(body, starts_in).with_user(user, enrichment)
    };
    assert!(matches!(
        next("STOP", None, None, true),
        Stage::Keyword(_, Keyword::Stop, None)
    ));
    assert!(matches!(
        next("STOP", None, user, true),
        Stage::Keyword(_, Keyword::Stop, Some(_))
    ));
    assert!(matches!(
        next("Hello", Some(SECOND), None, true),
        Stage::UnlinkedSender(_)
    ));
    assert!(matches!(
        next("Hello", Some(SECOND), user, true),
        Stage::Wait(SECOND)
    ));
    assert!(matches!(
        next("Hello", Some(Duration::ZERO), user, true),
        Stage::Ready(..)
    ));
    assert!(matches!(next("Hello", None, user, false), Stage::Ready(..)));
}
