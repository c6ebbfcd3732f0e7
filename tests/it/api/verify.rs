//! A user enters a code.

use std::time::Duration;

use serde_json::json;

use super::{ApiHarness, FREE, OTHER, VERIFY, guess, wrong};

#[tokio::test]
async fn the_right_code_links_the_number_to_the_user_and_works_once() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    let answer = caller.verify("202-555-0143", &code).await;
    assert_eq!(answer.status, 200);
    let expected = json!({ "message": "Phone number verified successfully", "verified": true });
    assert_eq!(answer.body, expected);
    assert_eq!(api.owner(FREE).await, Some(caller.user));
    let again = caller.verify(FREE, &code).await;
    assert_eq!(again.code(), (400, "VERIFICATION_FAILED"));
    assert_eq!(again.body["error"], "Invalid or expired verification code");
}

#[tokio::test]
async fn a_wrong_code_or_another_users_code_or_a_code_for_another_number_fails() {
    let api = ApiHarness::start().await;
    let (caller, other) = (api.user().await, api.user().await);
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    assert_eq!(other.link(OTHER).await.status, 201);
    let failures = [
        caller.verify(FREE, &wrong(&code)).await,
        caller.verify(OTHER, &code).await,
        caller.verify("no number", &code).await,
        other.verify(FREE, &code).await,
        api.user().await.verify(FREE, &code).await,
    ];
    for failure in &failures {
        assert_eq!(failure.code(), (400, "VERIFICATION_FAILED"));
        assert_eq!(failure.body, failures[0].body);
    }
    assert_eq!(api.owner(FREE).await, None);
    assert_eq!(caller.verify(FREE, &code).await.status, 200);
}

#[tokio::test]
async fn a_malformed_code_is_refused_with_an_error_code_and_does_not_count_as_a_guess() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    for body in [
        json!({}),
        json!({ "phoneNumber": FREE }),
        json!({ "code": code }),
        json!({ "phoneNumber": "", "code": code }),
        json!({ "phoneNumber": FREE, "code": "" }),
        json!({ "phoneNumber": FREE, "code": 123_456 }),
        json!({ "phoneNumber": 1, "code": code }),
        json!(null),
    ] {
        let answer = caller.post(VERIFY, &body).await;
        assert_eq!(answer.code(), (400, "MISSING_FIELDS"), "{body}");
        let expected = "Phone number and verification code are required";
        assert_eq!(answer.body["error"], expected);
    }
    for bad in [
        "12345",
        "1234567",
        "12345a",
        " 12345",
        "１２３４５６",
        "12 456",
        "-12345",
    ] {
        let answer = caller.post(VERIFY, &guess(FREE, bad)).await;
        assert_eq!(answer.code(), (400, "INVALID_CODE_FORMAT"), "{bad}");
        assert_eq!(answer.body["error"], "Verification code must be 6 digits");
    }
    assert_eq!(caller.verify(FREE, &code).await.status, 200);
}

#[tokio::test]
async fn an_expired_code_does_not_work() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    api.advance(Duration::from_secs(10 * 60 + 1)).await;
    let answer = caller.verify(FREE, &code).await;
    assert_eq!(answer.code(), (400, "VERIFICATION_FAILED"));
    assert_eq!(caller.show().await.body["codeExpiresAt"], json!(null));
    // The next code works.
    caller.prove(FREE).await;
}

#[tokio::test]
async fn a_resend_while_the_code_is_valid_sends_the_same_code_and_its_remaining_time() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    api.advance(Duration::from_secs(200)).await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let sms = api.sms().await;
    assert_eq!(sms.len(), 2);
    let expected = format!("Your verification code is {code}. It expires in 6 minutes.");
    assert_eq!(sms[1].1, expected);
    assert_eq!(caller.verify(FREE, &code).await.status, 200);
}
