//! A user looks up or unlinks their number.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ApiAnswer, ApiHarness, FREE};
use crate::database::NUMBER;

#[tokio::test]
async fn a_number_is_shown_with_its_delivery_and_code_expiry_until_it_is_verified() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.show().await.code(), (404, "PHONE_NUMBER_NOT_FOUND"));
    assert_eq!(caller.link(FREE).await.status, 201);
    let shown = caller.show().await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.body["phoneNumber"], FREE);
    assert_eq!(shown.body["verified"], false);
    assert_eq!(shown.body["delivery"]["state"], "pending");
    assert_eq!(shown.body["delivery"].get("reason"), None);
    assert!(shown.body["delivery"]["updatedAt"].is_string());
    assert!(shown.body["codeExpiresAt"].is_string());

    let code = api.code_sent_to(FREE).await;
    assert_eq!(caller.verify(FREE, &code).await.status, 200);
    let shown = caller.show().await;
    assert_eq!(shown.body["phoneNumber"], FREE);
    assert_eq!(shown.body["verified"], true);
    assert_eq!(shown.body.get("codeExpiresAt"), None);
}

#[tokio::test]
async fn a_number_linked_by_an_operator_is_shown_without_a_delivery() {
    let api = ApiHarness::start().await;
    let shown = api.linked().show().await;
    assert_eq!(
        shown.body,
        json!({ "phoneNumber": NUMBER, "verified": true })
    );
}

#[tokio::test]
async fn the_delivery_state_of_the_sms_is_shown_in_plain_words() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    for (state, reason, shown) in [
        ("pending", None, "pending"),
        ("sending", None, "pending"),
        ("unknown", None, "pending"),
        ("sent", None, "sent"),
        ("delivered", None, "delivered"),
        ("undelivered", Some("unreachable"), "failed"),
        ("failed", Some("opted_out"), "failed"),
        ("failed", Some("some new word"), "failed"),
    ] {
        sqlx::query("update pigeonhole.sends set state = $1, reason = $2")
            .bind(state)
            .bind(reason)
            .execute(&api.app.pool)
            .await
            .unwrap();
        let delivery = &caller.show().await.body["delivery"];
        assert_eq!(delivery["state"], shown, "{state}");
        match reason {
            None => assert_eq!(delivery.get("reason"), None),
            Some(word) => {
                let words = delivery["reason"].as_str().unwrap();
                assert!(words.ends_with('.') && !words.contains(word), "{words}");
            }
        }
    }
}

#[tokio::test]
async fn a_failed_send_starts_no_waiting_time() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let wait = caller.link(FREE).await.retry_after();
    assert!(wait <= 30, "{wait}");
    sqlx::query("update pigeonhole.sends set state = 'failed'")
        .execute(&api.app.pool)
        .await
        .unwrap();
    assert_eq!(caller.link(FREE).await.status, 201);
}

#[tokio::test]
async fn unlinking_deletes_the_number_its_pending_verification_and_unsent_sms() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(
        caller.unlink().await.code(),
        (404, "PHONE_NUMBER_NOT_FOUND")
    );
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    let gone = caller.unlink().await;
    assert_eq!((gone.status, gone.body), (204, Value::Null));
    assert_eq!(
        caller.verify(FREE, &code).await.code(),
        (400, "VERIFICATION_FAILED")
    );
    let (state, reason): (String, String) =
        sqlx::query_as("select state, reason from pigeonhole.sends")
            .fetch_one(&api.app.pool)
            .await
            .unwrap();
    assert_eq!((state.as_str(), reason.as_str()), ("failed", "cancelled"));

    api.advance(Duration::from_mins(2)).await;
    caller.prove(FREE).await;
    assert_eq!(caller.unlink().await.status, 204);
    assert_eq!(api.owner(FREE).await, None);
    let not_found = |answer: ApiAnswer| assert_eq!(answer.code(), (404, "PHONE_NUMBER_NOT_FOUND"));
    not_found(caller.show().await);
    not_found(caller.unlink().await);
}
