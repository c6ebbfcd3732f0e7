//! `Idempotency-Key`: a repeated request gets the stored response and has no effect.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{ApiAnswer, ApiHarness, FREE, OTHER, PATH, VERIFY, guess, number, wrong};
use crate::{commits_held::HoldingServer, database::Database};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_concurrent_requests_with_one_key_send_one_sms_and_get_one_response() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let body = number(FREE);
    let asks = (0..10).map(|_| caller.post_once("\"a-key\"", PATH, &body));
    let answers = join_all(asks).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.header("content-type"), "application/json");
    }
    assert_eq!(api.sends().await, 1);
    // The same holds later, when a new request would not have to wait any more.
    api.advance(Duration::from_mins(2)).await;
    let later = caller.post_once("a-key", PATH, &body).await;
    assert_eq!((later.status, &later.body), (201, &answers[0].body));
    assert_eq!(api.sends().await, 1);
}

#[tokio::test]
async fn a_key_that_belongs_to_another_request_is_refused() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(
        caller.post_once("key", PATH, &number(FREE)).await.status,
        201
    );
    for (path, body) in [
        (PATH, number(OTHER)),
        (VERIFY, guess(FREE, "123456")),
        (PATH, json!({ "phoneNumber": FREE, "more": 1 })),
    ] {
        let answer = caller.post_once("key", path, &body).await;
        assert_eq!(answer.status, 422, "{path} {body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.body["status"], 422);
    }
    // Each user has their own keys.
    let other = api
        .user()
        .await
        .post_once("key", PATH, &number(OTHER))
        .await;
    assert_eq!(other.status, 201);
}

#[tokio::test]
async fn a_repeated_guess_does_not_count_twice() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    for _ in 0..12 {
        let answer = caller
            .post_once("guess", VERIFY, &guess(FREE, &wrong(&code)))
            .await;
        assert_eq!(answer.code(), (400, "VERIFICATION_FAILED"));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for _ in 0..3 {
        let answer = caller.post_once("right", VERIFY, &guess(FREE, &code)).await;
        assert_eq!(
            (answer.status, &answer.body["verified"]),
            (200, &json!(true))
        );
    }
    assert_eq!(api.owner(FREE).await, Some(caller.user));
}

#[tokio::test]
async fn a_refusal_that_changed_nothing_is_not_stored() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    // An invalid number is not stored, and the key stays free.
    assert_eq!(caller.post_once("a", PATH, &number("no")).await.status, 400);
    assert_eq!(caller.post_once("a", PATH, &number(FREE)).await.status, 201);
    // A request that came too early succeeds later with the same key.
    let body = number(FREE);
    let wait = caller.post_once("b", PATH, &body).await.retry_after();
    api.advance(Duration::from_secs(wait)).await;
    assert_eq!(caller.post_once("b", PATH, &body).await.status, 201);
    assert_eq!(api.sends().await, 2);
}

#[tokio::test]
async fn an_invalid_idempotency_key_is_refused() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let long = "k".repeat(256);
    for bad in ["", "\"\"", "two words", "\"half", &long] {
        let answer = caller.post_once(bad, PATH, &number(FREE)).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let twice = caller
        .request(Method::POST, PATH)
        .header("idempotency-key", "a")
        .header("idempotency-key", "b")
        .json(&number(FREE));
    assert_eq!(ApiAnswer::of(twice.send().await.unwrap()).await.status, 400);
    assert_eq!(api.sends().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_response_waits_for_the_standby_as_the_first_one_did() {
    let mut holding = HoldingServer::start().await;
    let api = ApiHarness::on(Database::create_on(&holding.server).await).await;
    let caller = api.user().await;
    let body = number(FREE);
    let link = async || caller.post_once("link", PATH, &body).await.status;
    assert_eq!(link().await, 201);
    let code = api.code_sent_to(FREE).await;
    let body = guess(FREE, &code);
    let verify = async || caller.post_once("verify", VERIFY, &body).await.status;
    assert_eq!(verify().await, 200);
    holding.lose_standby().await;
    assert_eq!((link().await, verify().await), (503, 503));
    holding.find_standby().await;
    assert_eq!((link().await, verify().await), (201, 200));
    assert_eq!(api.sends().await, 1);
}

/// A number that was unlinked before must stay so, whichever server is promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_that_nothing_is_linked_waits_for_the_standby() {
    let mut holding = HoldingServer::start().await;
    let api = ApiHarness::on(Database::create_on(&holding.server).await).await;
    let caller = api.linked();
    assert_eq!(caller.unlink().await.status, 204);
    holding.lose_standby().await;
    assert_eq!(caller.unlink().await.status, 503);
    holding.find_standby().await;
    assert_eq!(caller.unlink().await.status, 404);
}
