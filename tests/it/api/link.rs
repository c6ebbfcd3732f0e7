//! A user asks to link a number.

use serde_json::json;

use super::{ApiHarness, FREE, OTHER, PATH, number};
use crate::database::NUMBER;

#[tokio::test]
async fn a_link_request_starts_a_verification_and_enqueues_a_code() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let answer = caller.link("(202) 555-0143").await;
    assert_eq!(answer.status, 201);
    let expected = json!({
        "message": "Verification code sent to phone number",
        "phoneNumber": "(202) 555-0143",
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");

    assert_eq!(api.sends().await, 1);
    let (to, text) = api.sms().await.remove(0);
    let code = api.code_sent_to(FREE).await;
    assert_eq!(to.as_str(), FREE);
    let expected = format!("Your verification code is {code}. It expires in 10 minutes.");
    assert_eq!(text, expected);
    // The verification is only pending: the number belongs to no user yet.
    assert_eq!(api.owner(FREE).await, None);
    assert_eq!(api.count("pigeonhole.pending_verifications").await, 1);
    let mine = format!("user_phone_numbers where user_id = '{}'", caller.user);
    assert_eq!(api.count(&mine).await, 0);
}

#[tokio::test]
async fn the_job_continues_the_trace_of_the_request() {
    let api = ApiHarness::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let caller = api.user().await;
    let request = caller
        .request(reqwest::Method::POST, PATH)
        .json(&number(FREE));
    let response = request.header("traceparent", trace).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let jobs = format!("queue.jobs where trace = '{trace}'");
    assert_eq!(api.count(&jobs).await, 1);
}

#[tokio::test]
async fn an_invalid_number_is_refused_with_an_error_code_and_sends_nothing() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    for body in [
        json!({}),
        json!({ "phoneNumber": null }),
        json!({ "phoneNumber": "" }),
        json!({ "phoneNumber": " " }),
        json!({ "phoneNumber": 12_025_550_143_u64 }),
        json!({ "phoneNumber": [FREE] }),
        json!([FREE]),
        json!(FREE),
    ] {
        let answer = caller.post(PATH, &body).await;
        assert_eq!(answer.code(), (400, "MISSING_PHONE_NUMBER"), "{body}");
        assert_eq!(answer.body["error"], "Phone number is required");
    }
    for bad in [
        "whatsapp:+12025550143",
        "+12025550143 ext. 5",
        "12345",
        "+1 800 234 5678",
        "+1\u{0}2025550143",
        "abc",
    ] {
        let answer = caller.link(bad).await;
        assert_eq!(answer.code(), (400, "INVALID_PHONE_NUMBER"), "{bad}");
        assert!(!answer.body["error"].as_str().unwrap().contains(bad));
    }
    for abroad in ["+447400123456", "+18765550123", "+8613800138000"] {
        let answer = caller.link(abroad).await;
        assert_eq!(answer.code(), (400, "COUNTRY_NOT_ALLOWED"), "{abroad}");
    }
    assert_eq!(api.sends().await, 0);
    assert_eq!(api.count("pigeonhole.limit_log").await, 0);
}

#[tokio::test]
async fn the_allowed_countries_are_configurable() {
    let api = ApiHarness::with(&[("VERIFICATION_COUNTRIES", "gb, JM")]).await;
    let caller = api.user().await;
    for abroad in ["+447400123456", "+18765550123"] {
        assert_eq!(caller.link(abroad).await.status, 201, "{abroad}");
    }
    assert_eq!(caller.link(FREE).await.code(), (400, "COUNTRY_NOT_ALLOWED"));
}

#[tokio::test]
async fn a_user_with_another_number_must_unlink_it_first() {
    let api = ApiHarness::start().await;
    let caller = api.linked();
    let answer = caller.link(FREE).await;
    assert_eq!(answer.code(), (409, "USER_HAS_DIFFERENT_PHONE"));
    let expected = "User already has a different phone number linked";
    assert_eq!(answer.body["error"], expected);
    assert_eq!(api.sends().await, 0);
    assert_eq!(caller.unlink().await.status, 204);
    assert_eq!(caller.link(FREE).await.status, 201);
}

#[tokio::test]
async fn a_new_link_request_replaces_a_mistyped_number() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(OTHER).await.status, 201);
    let old = api.code_sent_to(OTHER).await;
    assert_eq!(caller.link(FREE).await.status, 201);
    assert_eq!(caller.show().await.body["phoneNumber"], FREE);
    assert_eq!(
        caller.verify(OTHER, &old).await.code(),
        (400, "VERIFICATION_FAILED")
    );
    let code = api.code_sent_to(FREE).await;
    assert_eq!(caller.verify(FREE, &code).await.status, 200);
}

#[tokio::test]
async fn a_user_may_verify_their_own_number_again() {
    let api = ApiHarness::start().await;
    let caller = api.linked();
    caller.prove(NUMBER).await;
    assert_eq!(api.owner(NUMBER).await, Some(caller.user));
}
